// Convenience for pages of the console: everything works without it.
"use strict";
