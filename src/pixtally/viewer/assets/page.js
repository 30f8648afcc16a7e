// The page's side of the view: controls, keyboard, the place in the picture, the link, the theme.
// What is on the screen is one small record (`view`, the same as the link's query). Controls change
// it and send it; Python answers with pictures, and with texts in `link.shown`.
(() => {
  "use strict";
  const config = window.PIXTALLY;
  const $ = (id) => document.getElementById(id);
  const on = (id, event, f) => { const e = $(id); if (e) e.addEventListener(event, f); };
  const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
  const usual = config.usual;
  const view = { ...usual, ...config.view };
  const [rows, columns] = config.shape;
  const THEMES = {
    light: { ink: "#17202b", soft: "#526071", line: "#d4dae2", card: "#ffffff", empty: "#e9edf2", a: "#0b62c4", b: "#b8480b" },
    dark: { ink: "#e7edf4", soft: "#a3b0bf", line: "#303b48", card: "#161d26", empty: "#222c38", a: "#6bb3ff", b: "#ffab66" },
  };
  const HERE = { sync: false };  // Python need not know
  let models = null, dragging = "pan", comparing = false, placed = false, timer = 0, sent = "", tabled = "";

  // --- sending -------------------------------------------------------------------------------
  const query = () => {
    const found = new URLSearchParams();
    for (const [name, value] of Object.entries(view)) if (value !== usual[name]) found.set(name, value);
    return found;
  };
  const send = () => {
    timer = 0;
    if (!models) return;
    const fig = models.image;
    const text = JSON.stringify({ view, screen: [fig.inner_width || 640, fig.inner_height || 640], ratio: window.devicePixelRatio || 1 });
    if (text === sent) return;
    sent = text;
    window.pixtally.asked = performance.now();
    models.link.wanted = text;
    const found = query().toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
    history.replaceState(null, "", location.pathname + (found ? "?" + found : ""));
  };
  const change = (fields, wait = 0) => {
    Object.assign(view, fields);
    showControls();
    if (!wait) { clearTimeout(timer); send(); }
    else if (!timer) timer = setTimeout(send, wait);
  };

  // --- the place in the picture --------------------------------------------------------------
  const size = () => [models.image.inner_width || 1, models.image.inner_height || 1];
  const whole = () => {
    const [w, h] = size();
    return [columns / 2, rows / 2, Math.max(columns, rows * w / h)];
  };
  const place = () => (view.at ? view.at.split(",").map(Number) : whole());
  const put = () => {
    const [w, h] = size(), [x, y, across] = place(), down = across * h / w;
    const { x_range, y_range } = models.image;
    placed = false;
    x_range.setv({ start: x - across / 2, end: x + across / 2 }, HERE);
    y_range.setv({ start: y + down / 2, end: y - down / 2 }, HERE);
    placed = true;
  };
  const moved = () => {
    if (!placed) return;
    const { x_range, y_range } = models.image;
    const across = x_range.end - x_range.start;
    const at = [(x_range.start + x_range.end) / 2, (y_range.start + y_range.end) / 2, across];
    const [wx, wy, wa] = whole();
    const same = Math.abs(at[0] - wx) < wa / 500 && Math.abs(at[1] - wy) < wa / 500 && Math.abs(wa - across) < wa / 500;
    change({ at: same ? "" : at.map((v) => Number(v.toPrecision(6))).join(",") }, 90);
  };
  const goTo = (at) => { view.at = at; put(); change({}, 30); };
  const zoom = (factor, about = null) => {
    const [x, y, across] = place();
    const [cx, cy] = about || [x, y];
    const now = clamp(across * factor, 4, 4 * whole()[2]);
    const f = now / across;
    goTo([cx + (x - cx) * f, cy + (y - cy) * f, now].map((v) => Number(v.toPrecision(6))).join(","));
  };
  const reveal = (y, x) => {
    const [w, h] = size(), [cx, cy, across] = place(), down = across * h / w;
    if (Math.abs(x + 0.5 - cx) > across / 2 || Math.abs(y + 0.5 - cy) > down / 2) {
      goTo([x + 0.5, y + 0.5, across].map((v) => Number(v.toPrecision(6))).join(","));
    }
  };

  // --- selecting -----------------------------------------------------------------------------
  const select = (text, second) => {
    if (config.kind !== "histogram") return;
    const slot = second || comparing ? "b" : "a";
    change({ [slot]: text });
  };
  const tap = (event) => {
    const x = Math.floor(event.x), y = Math.floor(event.y);
    if (x < 0 || y < 0 || x >= columns || y >= rows) return;
    select(`${y},${x}`, event.modifiers && event.modifiers.shift);
  };
  const box = (event) => {
    if (event.final === false || event.geometry.type !== "rect") return;
    const g = event.geometry;
    const ends = (a, b, n) => [clamp(Math.floor(Math.min(a, b)), 0, n - 1), clamp(Math.ceil(Math.max(a, b)), 1, n)];
    const [x0, x1] = ends(g.x0, g.x1, columns), [y0, y1] = ends(g.y0, g.y1, rows);
    if (x1 > x0 && y1 > y0) select(`${y0}:${y1},${x0}:${x1}`, event.modifiers && event.modifiers.shift);
  };
  const hover = (event) => {
    const x = Math.floor(event.x), y = Math.floor(event.y);
    const inside = x >= 0 && y >= 0 && x < columns && y < rows;
    const value = inside ? models.value(x, y) : null;
    $("readout").textContent = inside ? `y ${y}, x ${x}` + (value === null ? "" : `: ${value}`) : "";
  };
  const step = (dy, dx) => {
    const slot = comparing && view.b ? "b" : "a";
    const ends = (view[slot] || `${rows >> 1},${columns >> 1}`).split(",").map((t) => t.split(":").map(Number));
    const shifted = ends.map((e, k) => {
      const n = k ? columns : rows, d = k ? dx : dy;
      const last = e.length > 1 ? e[1] : e[0] + 1;
      const by = clamp(d, -e[0], n - last);
      return e.map((v) => v + by);
    });
    change({ [slot]: shifted.map((e) => e.join(":")).join(",") });
    reveal(shifted[0][0], shifted[1][0]);
  };

  // --- controls ------------------------------------------------------------------------------
  const pressed = (id, yes) => { const e = $(id); if (e) e.setAttribute("aria-pressed", String(yes)); };
  function showControls() {
    for (const id of ["show", "plane", "cmap", "contrast", "model", "style", "change", "where", "q", "frame"]) {
      const e = $(id);
      if (e && document.activeElement !== e) e.value = view[id];
      else if (e && e.type !== "text") e.value = view[id];
    }
    if ($("q-row")) $("q-row").hidden = view.show !== "quantile";
    if ($("q-text")) $("q-text").textContent = Number(view.q).toFixed(3).replace(/0$/, "");
    if ($("where-field")) $("where-field").hidden = !String(view.change).startsWith("fill");
    pressed("log", view.log === "1"); pressed("linear", view.log !== "1");
    pressed("compare", comparing);
    pressed("drag-pan", dragging === "pan"); pressed("drag-box", dragging === "box");
    if ($("clear")) $("clear").hidden = !view.b;
    if ($("frame")) $("frame").setAttribute("aria-valuetext", `frame ${view.frame}`);
  }
  const drag = (how) => {
    dragging = how;
    for (const [pan, boxes] of models.drags) { pan.active = how === "pan"; boxes.active = how === "box"; }
    showControls();
  };
  const compare = () => { comparing = !comparing; showControls(); };
  const frame = (by) => {
    if (!config.frames) return;
    const to = String(clamp(Number(view.frame) + by, 0, config.frames - 1));
    change(config.kind === "histogram" && !["frame", "score"].includes(view.show) ? { frame: to, show: "frame" } : { frame: to });
  };
  const quantile = (by) => change({ show: "quantile", q: String(clamp(Number((Number(view.q) + by).toFixed(3)), 0, 1)) });

  function connect() {
    for (const id of ["show", "plane", "cmap", "contrast", "model", "style", "change"]) on(id, "change", (e) => change({ [id]: e.target.value }));
    on("where", "change", (e) => change({ where: e.target.value.trim().toLowerCase() || "0" }));
    on("q", "input", (e) => change({ q: e.target.value }, 60));
    on("frame", "input", (e) => {
      const lively = config.kind !== "histogram" || ["frame", "score"].includes(view.show);
      change(lively ? { frame: e.target.value } : { frame: e.target.value, show: "frame" }, 60);
    });
    on("previous", "click", () => frame(-1)); on("next", "click", () => frame(1));
    on("linear", "click", () => change({ log: "0" })); on("log", "click", () => change({ log: "1" }));
    on("compare", "click", compare);
    on("clear", "click", () => { comparing = false; change({ b: "" }); });
    on("drag-pan", "click", () => drag("pan")); on("drag-box", "click", () => drag("box"));
    on("zoom-in", "click", () => zoom(0.5)); on("zoom-out", "click", () => zoom(2)); on("whole", "click", () => goTo(""));
    on("theme", "click", () => { change({ theme: shade() === "dark" ? "light" : "dark" }); paint(); });
    on("help", "click", () => $("keys").showModal());
    on("copy", "click", copy);
    document.addEventListener("keydown", key);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  }
  async function copy() {
    send();
    let done = "Copied";
    try { await navigator.clipboard.writeText(location.href); } catch { done = "Link is in the address bar"; }
    $("copy").textContent = done;
    setTimeout(() => { $("copy").textContent = "Copy link"; }, 1600);
  }
  const KEYS = {
    "[": () => quantile(-0.05), "]": () => quantile(0.05), PageUp: () => frame(-1), PageDown: () => frame(1),
    "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => goTo(""),
    "?": () => $("keys").showModal(),
  };
  const HISTOGRAM_KEYS = {
    ArrowLeft: (n) => step(0, -n), ArrowRight: (n) => step(0, n), ArrowUp: (n) => step(-n, 0), ArrowDown: (n) => step(n, 0),
    b: () => drag(dragging === "pan" ? "box" : "pan"), c: compare, l: () => change({ log: view.log === "1" ? "0" : "1" }),
    ...Object.fromEntries(["median", "mean", "std", "mode", "entropy", "quantile"].map((s, k) => [k + 1, () => change({ show: s })])),
  };
  function key(event) {
    const tag = event.target.tagName;
    if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
    const typing = tag === "INPUT" || tag === "SELECT" || tag === "TEXTAREA";
    if (typing && !event.key.startsWith("Page")) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const act = (config.kind === "histogram" && HISTOGRAM_KEYS[name]) || KEYS[name];
    if (!act) return;
    event.preventDefault();
    act(event.shiftKey ? 10 : 1);
  }

  // --- what Python says ----------------------------------------------------------------------
  const cell = (tag, text, attributes = {}) => {
    const e = document.createElement(tag);
    e.textContent = text;
    for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
    return e;
  };
  function table(summary) {
    const head = document.createElement("tr");
    head.append(cell("th", summary.corner, { scope: "col" }), ...summary.columns.map((c) => cell("th", c, { scope: "col" })));
    const body = summary.rows.map((r) => {
      const row = document.createElement("tr"), name = cell("th", r.name, { scope: "row" });
      name.prepend(cell("span", "", { class: `swatch ${r.slot}`, "aria-hidden": "true" }));
      row.append(name, ...r.cells.map((c) => cell("td", c)));
      return row;
    });
    const thead = document.createElement("thead"), tbody = document.createElement("tbody");
    thead.append(head); tbody.append(...body);
    $("summary").replaceChildren(thead, tbody);
  }
  function shown() {
    const found = JSON.parse(models.link.shown || "{}");
    for (const [id, text] of Object.entries(found.texts || {})) if ($(id) && $(id).textContent !== text) $(id).textContent = text;
    if (found.banner !== undefined) { $("banner").textContent = found.banner; $("banner").hidden = !found.banner; }
    const summary = JSON.stringify(found.summary || {});
    if (found.summary && summary !== tabled) { tabled = summary; table(found.summary); }
    if (found.after !== undefined && $("after-figure")) $("after-figure").classList.toggle("same", !found.after);
    window.pixtally.state = found;
  }

  // Remember when there was something to see, for tests and benchmarks.
  function drawn() {
    const image = models.source.data.values[0];
    if (window.pixtally.first || !image || !image.some(Number.isFinite)) return;
    requestAnimationFrame(() => requestAnimationFrame(() => { window.pixtally.first ||= performance.now(); }));
  }

  // --- theme ---------------------------------------------------------------------------------
  const shade = () => (view.theme !== "auto" ? view.theme : window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  function paint() {
    const name = shade(), t = THEMES[name];
    document.documentElement.dataset.theme = name;
    document.documentElement.style.colorScheme = name;
    if (!models) return;
    for (const fig of models.figures) {
      fig.setv({ background_fill_color: models.images.includes(fig) ? t.empty : t.card, outline_line_color: t.line }, HERE);
      for (const axis of [...fig.left, ...fig.below, ...fig.right]) {
        if (axis.type === "ColorBar") axis.setv({ major_label_text_color: t.ink, title_text_color: t.ink, major_tick_line_color: t.soft, bar_line_color: t.line }, HERE);
        else axis.setv({ axis_line_color: t.line, major_tick_line_color: t.line, minor_tick_line_color: null, major_label_text_color: t.soft, axis_label_text_color: t.ink }, HERE);
      }
      for (const grid of fig.center) if (grid.grid_line_color !== undefined) grid.setv({ grid_line_color: models.images.includes(fig) ? null : t.line }, HERE);
    }
    for (const [glyph, slot, ...properties] of models.coloured) {
      glyph.setv(Object.fromEntries(properties.map((p) => [p, t[slot]])), HERE);
    }
  }

  window.pixtally = {
    state: {}, asked: 0, first: 0, models: null, tap, box, hover, moved,
    start(found) {
      models = window.pixtally.models = found;
      window.pixtally.started = performance.now();
      const fig = models.image;
      for (const property of ["inner_width", "inner_height"]) fig.properties[property].change.connect(() => { put(); change({}, 30); });
      models.link.properties.shown.change.connect(shown);
      models.source.properties.data.change.connect(drawn);
      connect(); drag("pan"); paint(); put(); showControls(); shown();
      send();
      document.documentElement.dataset.ready = "1";
    },
  };
  paint();
})();
