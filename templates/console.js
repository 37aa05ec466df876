// Convenience for pages of the console: everything works without it. It asks this
// server alone, and keeps nothing but whether single keys are wanted.
"use strict";

(() => {
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Single keys: for whoever reviews, unless they were switched off in this browser.
  const help = one(".keys");
  const wanted = () => {
    try { return localStorage.getItem("keys") !== "off"; } catch { return true; }
  };
  const want = (on) => {
    try { localStorage.setItem("keys", on ? "on" : "off"); } catch { /* then only until the page is left */ }
  };
  let on = wanted();
  if (help) {
    const box = one("#keys-on", help);
    help.hidden = false;
    box.checked = on;
    box.addEventListener("change", () => { on = box.checked; want(on); });
  }

  // On a narrow screen the list is nearer without the fields of its filter.
  const filter = one("details.filter");
  if (filter) {
    const narrow = matchMedia("(max-width: 34rem)");
    const fold = () => { filter.open = !narrow.matches; };
    narrow.addEventListener("change", fold);
    fold();
  }

  const typing = (target) =>
    target.isContentEditable || ["SELECT", "TEXTAREA"].includes(target.tagName) ||
    (target.tagName === "INPUT" && !["radio", "checkbox", "submit", "button"].includes(target.type));

  const move = (by) => {
    const links = all("table.queue tbody a.open");
    if (links.length === 0) return;
    const row = document.activeElement.closest("table.queue tbody tr");
    const at = row ? links.findIndex((link) => row.contains(link)) : -1;
    const next = at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + by, 0), links.length - 1);
    links[next].focus();
  };

  const toggleHelp = () => {
    const details = one("#keys");
    details.open = !details.open;
    if (details.open) one("summary", details).focus();
  };

  // Chooses; nothing is sent, and the form still asks for its reason.
  const choose = (key) => {
    const input = all("[data-key]").find((found) => found.dataset.key === key && !found.disabled);
    if (!input) return false;
    input.checked = true;
    input.focus();
    input.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  };

  let before = "";
  document.addEventListener("keydown", (event) => {
    if (!help || !on || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (typing(event.target)) return;
    const last = before;
    before = event.key;
    if (last === "g" && event.key === "q") location.assign("/alerts");
    else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "/" && filter) { filter.open = true; one("select, input:not([type=hidden])", filter).focus(); }
    else if (event.key === "?") toggleHelp();
    else if (!choose(event.key)) return;
    event.preventDefault();
  });

  // The list of alerts, as it changes. A row that is there is renewed in its place; new
  // ones wait behind a button, so that nothing moves under anybody's hand.
  const live = one("#live");
  if (!live || !window.EventSource) return;
  const table = one("table.queue");
  const notice = one(".fresh", live);
  const status = one("[role=status]", live);
  let newest = Number(live.dataset.newest);
  let feed = null;
  let asking = false;
  let again = false;

  const address = (base, name, value) => base + (base.includes("?") ? "&" : "?") + name + "=" + encodeURIComponent(value);

  const ask = async (path) => {
    const answer = await fetch(path, { headers: { accept: "text/html, application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer;
  };

  const lines = async (path) => {
    const page = new DOMParser().parseFromString(await (await ask(path)).text(), "text/html");
    return { rows: all("tbody tr", page), newest: Number(one("table", page).dataset.newest) };
  };

  // How many came that the filter lets through; asked once at a time.
  const count = async () => {
    if (asking) { again = true; return; }
    asking = true;
    try {
      const fresh = await (await ask(address(live.dataset.fresh, "since", newest))).json();
      const text = fresh.n > 0 ? fresh.text : "";
      notice.hidden = fresh.n === 0;
      if (one("span", notice).textContent !== text) {
        one("span", notice).textContent = text;
        status.textContent = text;
      }
    } catch { /* the next event asks again */ }
    asking = false;
    if (again) { again = false; count(); }
  };

  const renew = async (id) => {
    try {
      const found = await lines(address("/alerts/row", "id", id));
      const old = document.getElementById("alert-" + id);
      if (!old || found.rows.length !== 1) return;
      const row = document.importNode(found.rows[0], true);
      const focused = old.contains(document.activeElement);
      old.replaceWith(row);
      if (focused) one("a.open", row).focus();
      status.textContent = row.dataset.said;
    } catch { /* it is shown as it was */ }
  };

  const show = async (event) => {
    // Further down the list the button is a link to its top.
    if (live.dataset.first !== "yes") return;
    event.preventDefault();
    try {
      const found = await lines(address(live.dataset.rows, "since", newest));
      // Too many to put above: the list begins anew.
      if (found.rows.length >= 50) { location.assign(one("a", notice).href); return; }
      const body = one("tbody", table);
      const rows = found.rows.map((row) => document.importNode(row, true));
      rows.forEach((row) => row.classList.add("new"));
      body.prepend(...rows.filter((row) => !document.getElementById(row.id)));
      table.hidden = false;
      all(".empty").forEach((empty) => { empty.hidden = true; });
      newest = Math.max(newest, found.newest);
      notice.hidden = true;
      if (rows[0]) one("a.open", document.getElementById(rows[0].id)).focus();
    } catch { location.assign(one("a", notice).href); }
  };

  const heard = (event) => {
    const { id, arrival } = JSON.parse(event.data);
    if (document.getElementById("alert-" + id)) renew(id);
    if (arrival > newest) count();
  };

  const listen = () => {
    if (feed) return;
    feed = new EventSource(live.dataset.feed);
    feed.addEventListener("open", count);
    feed.addEventListener("many", count);
    feed.addEventListener("alert", heard);
    feed.addEventListener("over", () => { feed.close(); });
  };
  // A browser opens few connections to one server: a page that nobody sees gives its back.
  const mind = () => {
    if (document.hidden) { if (feed) feed.close(); feed = null; } else listen();
  };
  one("a", notice).addEventListener("click", show);
  document.addEventListener("visibilitychange", mind);
  window.addEventListener("pagehide", () => { if (feed) feed.close(); feed = null; });
  mind();
})();
