"use strict";
// Asks for numbers, draws outlines of them, and lets the region be moved.
// Knows no sentence: its words stand in the page.
(() => {
  const NS = "http://www.w3.org/2000/svg";
  const WIDTH = 1000;
  const KEYS = ["x", "y", "w", "h"];
  const STALE_MS = 2000;
  const byId = (id) => document.getElementById(id);
  const words = new Map();
  document.querySelectorAll("#words li").forEach((li) => words.set(li.dataset.name, li.textContent));
  const word = (name, more = "") => words.get(name + more) ?? name + more;

  const stage = byId("stage"), frame = byId("frame"), form = byId("region"), state = byId("state");
  let height = 562, written = null, region = null, over = false;

  const make = (name, cls, text) => {
    const e = document.createElement(name);
    if (cls) e.className = cls;
    if (text !== undefined) e.textContent = text;
    return e;
  };
  const draw = (name, attributes) => {
    const e = document.createElementNS(NS, name);
    for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
    return e;
  };
  const mark = (ok) => make("span", ok ? "mark good" : "mark bad", ok ? word("ok") : word("not_ok"));
  const round = (v) => Math.round(v * 1000) / 1000;
  const clamp = (v, lo, hi) => Math.min(Math.max(v, lo), hi);

  // Numbers and bars.
  const measure = (m) => {
    const line = make("div", "measure");
    line.append(make("span", "name", word(m.name)), make("span", "value", m.value >= 10 ? m.value.toFixed(0) : m.value.toFixed(2)), mark(m.ok));
    const [lo, hi] = m.bar;
    const at = (v) => 100 * clamp((v - lo) / (hi - lo), 0, 1);
    const bar = make("div", "bar"), allowed = make("div", "allowed"), now = make("div", "now");
    const from = at(m.least ?? lo), to = at(m.most ?? hi);
    allowed.style.left = from + "%";
    allowed.style.width = (to - from) + "%";
    now.style.left = at(m.value) + "%";
    bar.append(allowed, now);
    const limits = [];
    if (m.least !== null) limits.push(word("least") + " " + round(m.least));
    if (m.most !== null) limits.push(word("most") + " " + round(m.most));
    line.append(bar, make("span", "limits", word("allowed") + ": " + limits.join(", ")));
    return line;
  };
  const fact = (name, value, ok) => {
    const line = make("div", "measure");
    line.append(make("span", "name", word(name)), make("span", "value", value));
    if (ok !== undefined) line.append(mark(ok));
    return line;
  };
  const showCamera = (camera) => {
    if (!camera) return byId("camera").replaceChildren(make("p", "none", word("no_picture_yet")));
    byId("camera").replaceChildren(
      fact("size", camera.kind + " " + camera.width + " x " + camera.height, camera.width >= 640),
      fact("rate", String(camera.rate), camera.rate >= 5),
      fact("age", String(camera.age_ms), camera.age_ms < STALE_MS));
  };
  const showLight = (light) => {
    if (!light) return byId("light").replaceChildren();
    const said = light.fault ? make("p", "advice", word("fault_", light.fault)) : make("p", "none", word("light_ok"));
    byId("light").replaceChildren(said, ...light.measures.map(measure));
  };
  const showFaces = (faces, camera) => {
    const people = byId("people"), boxes = byId("faces");
    boxes.replaceChildren();
    if (!faces.length) return people.replaceChildren(make("p", "none", camera ? word("nobody") : word("no_picture_yet")));
    const parts = [];
    faces.forEach((face, i) => {
      const [x0, y0, x1, y1] = face.edges, cls = face.ok ? "good" : "bad";
      const box = { x: x0 * WIDTH, y: y0 * height, width: (x1 - x0) * WIDTH, height: (y1 - y0) * height };
      boxes.append(draw("rect", { ...box, rx: 12, class: "box " + cls }));
      const tag = draw("text", { x: box.x, y: Math.max(box.y - 10, 26), class: "tag " + cls });
      tag.textContent = (i + 1) + " \u00b7 " + face.measures[0].value.toFixed(0) + " px";
      boxes.append(tag);
      const title = make("h3", "", word("face") + " " + (i + 1));
      title.append(make("span", "mark " + cls, face.ok ? word("face_ok") : word("not_ok")));
      parts.push(title, ...face.flaws.map((f) => make("p", "advice", word("flaw_", f))), ...face.measures.map(measure));
    });
    people.replaceChildren(...parts);
  };

  // The region: as written, and as it is being moved.
  const same = (a, b) => KEYS.every((k) => Math.abs(a[k] - b[k]) < 0.0005);
  const tidy = (r) => {
    const x = clamp(round(r.x), 0, 0.999), y = clamp(round(r.y), 0, 0.999);
    return { x, y, w: clamp(round(r.w), 0.001, round(1 - x)), h: clamp(round(r.h), 0.001, round(1 - y)) };
  };
  const placeFrame = () => {
    if (!region) return;
    const { x, y, w, h } = region;
    for (const [k, v] of Object.entries({ x: x * WIDTH, y: y * height, width: w * WIDTH, height: h * height })) frame.setAttribute(k, v);
    const corners = [[x, y], [x + w, y], [x, y + h], [x + w, y + h]].map(([cx, cy], i) =>
      draw("rect", { x: cx * WIDTH - 11, y: cy * height - 11, width: 22, height: 22, class: "corner corner-" + i, "data-corner": i }));
    byId("corners").replaceChildren(...corners);
  };
  const setRegion = (r, fromFields) => {
    region = tidy(r);
    placeFrame();
    if (!fromFields) KEYS.forEach((k) => { form.elements[k].value = region[k]; });
    const moved = !same(region, written);
    byId("save").disabled = byId("undo").disabled = !moved || over;
    if (moved) say("watch", word("unsaved")); else if (state.className === "watch") say("", "");
  };
  const say = (cls, text) => { state.className = cls; state.textContent = text; };

  const point = (e) => {
    const p = new DOMPoint(e.clientX, e.clientY).matrixTransform(stage.getScreenCTM().inverse());
    return { x: clamp(p.x / WIDTH, 0, 1), y: clamp(p.y / height, 0, 1) };
  };
  let drag = null;
  stage.addEventListener("pointerdown", (e) => {
    if (!region || over) return;
    const from = point(e), r = region, corner = e.target.dataset.corner;
    if (corner !== undefined) {
      const i = Number(corner);
      drag = { fixed: { x: i % 2 ? r.x : r.x + r.w, y: i > 1 ? r.y : r.y + r.h } };
    } else if (e.target === frame && (r.w < 0.999 || r.h < 0.999)) {
      drag = { from, begun: { ...r } };
    } else {
      drag = { fixed: from };
    }
    stage.setPointerCapture(e.pointerId);
    e.preventDefault();
  });
  stage.addEventListener("pointermove", (e) => {
    if (!drag) return;
    const to = point(e);
    if (drag.fixed) {
      const f = drag.fixed;
      setRegion({ x: Math.min(f.x, to.x), y: Math.min(f.y, to.y), w: Math.abs(f.x - to.x), h: Math.abs(f.y - to.y) });
    } else {
      const b = drag.begun;
      setRegion({ ...b, x: clamp(b.x + to.x - drag.from.x, 0, 1 - b.w), y: clamp(b.y + to.y - drag.from.y, 0, 1 - b.h) });
    }
  });
  const drop = () => { drag = null; };
  stage.addEventListener("pointerup", drop);
  stage.addEventListener("pointercancel", drop);
  form.addEventListener("input", () => {
    const r = Object.fromEntries(KEYS.map((k) => [k, Number(form.elements[k].value)]));
    if (form.checkValidity()) setRegion(r, true);
  });
  byId("undo").addEventListener("click", () => { if (written) setRegion(written); });
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    const answer = await fetch("region", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(region) }).catch(() => null);
    const said = answer ? await answer.json().catch(() => ({})) : {};
    if (!answer || !answer.ok) return say("bad", word("not_saved") + " " + (said.detail ?? word("unreachable")));
    written = tidy(said.region);
    setRegion(written);
    say("good", word("saved"));
    const steps = said.next.flatMap((line, i) => [make("p", "", (i + 1) + ". " + word("step_", i)), make("code", "", line)]);
    byId("next").replaceChildren(make("p", "", word("policy_changed")), ...steps);
    byId("next").hidden = false;
  });

  byId("reference").addEventListener("click", async () => {
    const told = byId("reference-state");
    const answer = await fetch("reference", { method: "POST" }).catch(() => null);
    const said = answer && !answer.ok ? await answer.json().catch(() => ({})) : {};
    const ok = answer !== null && answer.ok;
    told.className = ok ? "good" : "bad";
    told.textContent = ok ? word("reference_kept") : word("reference_not_kept") + " " + (said.detail ?? word("unreachable"));
  });

  // The picture, where it was asked for at the start: blocks of one tone.
  const clock = (s) => Math.floor(s / 60) + ":" + String(Math.floor(s % 60)).padStart(2, "0");
  let shown = document.body.dataset.picture === "true", n = 0;
  const showPicture = (left) => {
    if (!shown) return;
    if (left === null || left <= 0) {
      shown = false;
      byId("picture").removeAttribute("href");
      byId("about").textContent = word("picture_over");
      return;
    }
    byId("picture-left").textContent = word("picture_left") + " " + clock(left);
    byId("picture").setAttribute("href", "picture.png?" + (n += 1));
  };

  const finish = (text) => {
    over = true;
    byId("trouble").textContent = text;
    byId("trouble").hidden = false;
    byId("left").textContent = "0:00";
    showPicture(null);
    byId("faces").replaceChildren();
    ["end", "save", "undo", "reference"].forEach((id) => { byId(id).disabled = true; });
  };
  byId("end").addEventListener("click", async () => {
    await fetch("end", { method: "POST" }).catch(() => null);
    finish(word("ended"));
  });

  let missed = 0;
  const look = async () => {
    if (over) return;
    const answer = await fetch("view.json").catch(() => null);
    if (over) return;
    if (!answer || !answer.ok) {
      missed += 1;
      if (missed > 3) return finish(word("unreachable"));
      return void setTimeout(look, 1000);
    }
    missed = 0;
    const view = await answer.json();
    byId("left").textContent = clock(view.left_s);
    if (view.camera) {
      const found = Math.round(WIDTH * view.camera.height / view.camera.width);
      if (found !== height) {
        height = found;
        stage.setAttribute("viewBox", "0 0 " + WIDTH + " " + height);
        [stage.querySelector(".paper"), byId("picture")].forEach((e) => e.setAttribute("height", height));
        placeFrame();
      }
    }
    if (!written) {
      written = tidy(view.region);
      setRegion(written);
    }
    byId("trouble").hidden = !view.trouble;
    if (view.trouble) byId("trouble").textContent = word("trouble") + ": " + view.trouble;
    showCamera(view.camera);
    showLight(view.light);
    showFaces(view.faces, view.camera);
    showPicture(view.picture_left_s);
    setTimeout(look, 300);
  };
  look();
})();
