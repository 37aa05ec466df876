-- The record of acts is asked by person and by what it is about, newest first.
CREATE INDEX acts_by_whom ON acts (by_whom, id);
CREATE INDEX acts_about ON acts (about, id);
