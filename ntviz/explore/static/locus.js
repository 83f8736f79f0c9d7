// The front end of explore.locus: sends what is typed, clicked or dragged, and shows the figure as the kernel makes it.
// The figure is HTML that Python has escaped; text that comes back as text is set as text.

function render({ model, el }) {
  const mine = Math.random().toString(36).slice(2);
  let busy = false, wanted = null, counter = 0, panes = [], drag = null;

  // Parts ------------------------------------------------------------------------------------------------------------
  const input = element("input", { type: "text", "aria-label": "Gene, region or variant", placeholder: "HNF4A, chr20:43,029,700-43,031,200 or chr20:43,042,364 C>T", spellcheck: "false", autocomplete: "off" });
  const button = (text, label, message) => element("button", { text, "aria-label": label, title: label, onclick: () => ask(message) });
  const go = element("button", { text: "Go", class: "ntvl-go" });
  const moves = element("span", { class: "ntvl-moves", role: "group", "aria-label": "View" },
    button("◀", "Pan left", { kind: "pan", share: -0.5 }), button("▶", "Pan right", { kind: "pan", share: 0.5 }),
    button("−", "Zoom out", { kind: "scale", factor: 2 }), button("+", "Zoom in", { kind: "scale", factor: 0.5 }));
  const exports = ["figure", "data"].map((what) => element("button", { text: "Save " + what, class: "ntvl-save-" + what, onclick: () => ask({ kind: "export", what }) }));
  const boxes = Object.fromEntries(model.get("names").map((name) => [name, element("input", { type: "checkbox", onchange: (event) => ask({ kind: "show", name, on: event.target.checked }) })]));
  const choice = element("div", { class: "ntvl-choice", role: "group", "aria-label": "Components" }, ...Object.entries(boxes).map(([name, box]) => element("label", {}, box, name)));
  const where = element("div", { class: "ntvl-where" });
  const problem = element("div", { class: "ntvl-error", role: "alert" });
  const status = element("div", { class: "ntvl-status", role: "status" });
  const host = element("div", { class: "ntvl-figure" });
  const chosen = element("div", { class: "ntvl-chosen" });
  const help = element("p", { class: "ntvl-help", text: "Drag over the figure to zoom into a stretch, double-click to zoom in there. Keys: + and − zoom, p (previous) and n (next) pan." });
  const root = element("div", { class: "ntvl", "data-state": "busy", "data-lm-suppress-shortcuts": "true" },
    element("div", { class: "ntvl-bar" }, input, go, moves, ...exports), choice, where, problem, status, host, help);
  el.append(root);

  // Asking -----------------------------------------------------------------------------------------------------------
  function ask(message) {
    // What is asked for while the kernel is busy waits; of several, only the last matters, but each box counts.
    if (busy) { wanted = wanted && message.kind === "show" ? [...wanted, message] : [message]; return; }
    busy = true;
    root.dataset.state = "busy";
    problem.textContent = "";
    if (message.kind !== "export" && message.kind !== "start") host.classList.add("stale");
    status.textContent = message.kind === "export" ? "Writing …" : "Drawing …";
    model.send({ ...message, id: `${mine}-${++counter}` });
  }
  function done(text) {
    busy = false;
    status.textContent = text;
    host.classList.remove("stale");
    const next = wanted && wanted.shift();
    if (wanted && !wanted.length) wanted = null;
    if (next) ask(next); else root.dataset.state = "ready";
  }
  const handlers = {
    error(reply) { problem.textContent = reply.text; done(""); },
    doing(reply) { status.textContent = `${reply.text[0].toUpperCase()}${reply.text.slice(1)} …`; },
    figure(reply) {
      const focused = host.contains(document.activeElement);
      panes = reply.panes;
      fill(host, reply.html);
      host.append(chosen);
      host.classList.remove("stale");
      if (focused) { const stage = host.querySelector("[tabindex]"); if (stage) stage.focus(); }
      where.textContent = reply.label;
      Object.assign(root.dataset, { name: reply.name, start: reply.start, end: reply.end });
      for (const [name, box] of Object.entries(boxes)) box.checked = reply.shown.includes(name);
      if (reply.ready) done(`${reply.name}: done.`);
    },
    export(reply, buffers) {
      const [name, type] = { figure: ["locus.html", "text/html"], data: ["locus.zip", "application/zip"] }[reply.what];
      const link = element("a", { href: URL.createObjectURL(new Blob(buffers, { type })), download: name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
      done(`Saved ${name}.`);
    },
  };
  // Of two views of one widget, each answers to its own questions alone.
  model.on("msg:custom", (reply, buffers) => { if (handlers[reply.kind] && reply.id === `${mine}-${counter}`) handlers[reply.kind](reply, buffers); });

  // Dragging ---------------------------------------------------------------------------------------------------------
  function at(event) {
    const image = host.querySelector("img");
    if (!image) return null;
    const box = image.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
    const pane = panes.find((one) => y >= one.y0 && y <= one.y1);
    if (!pane) return null;
    const share = Math.min(1, Math.max(0, (x - pane.x0) / (pane.x1 - pane.x0)));
    return { pane, box, base: pane.left + share * (pane.right - pane.left), x: pane.x0 + share * (pane.x1 - pane.x0) };
  }
  function mark(first, last) {
    const frame = host.getBoundingClientRect(), { box, pane } = first;
    const [left, right] = [Math.min(first.x, last.x), Math.max(first.x, last.x)];
    Object.assign(chosen.style, { display: "block", left: `${box.left - frame.left + left * box.width}px`, width: `${(right - left) * box.width}px`,
      top: `${box.top - frame.top + pane.y0 * box.height}px`, height: `${(pane.y1 - pane.y0) * box.height}px` });
  }
  function release() { drag = null; chosen.style.display = "none"; }
  host.addEventListener("dragstart", (event) => event.preventDefault());
  host.addEventListener("pointerdown", (event) => {
    if (event.button || !event.target.closest("img")) return;
    drag = at(event);
    if (drag) drag.from = event.clientX;
  });
  root.addEventListener("pointermove", (event) => {
    const now = drag && at(event);
    if (now && now.pane === drag.pane && Math.abs(event.clientX - drag.from) > 3) mark(drag, now);
  });
  root.addEventListener("pointerup", (event) => {
    const now = drag && at(event), first = drag;
    release();
    // A few pixels are a click.
    if (!now || Math.abs(event.clientX - first.from) <= 3) return;
    const [low, high] = [Math.min(first.base, now.base), Math.max(first.base, now.base)];
    ask({ kind: "select", start: Math.floor(low), end: Math.ceil(high) });
  });
  root.addEventListener("pointercancel", release);
  root.addEventListener("pointerleave", release);
  host.addEventListener("dblclick", (event) => {
    const now = event.target.closest("img") && at(event);
    if (now) ask({ kind: "scale", factor: 0.5, at: Math.min(Math.floor(now.base), Math.max(now.pane.left, now.pane.right) - 1) });
  });

  // Keys -------------------------------------------------------------------------------------------------------------
  const travel = () => { if (input.value.trim()) ask({ kind: "go", text: input.value }); };
  go.addEventListener("click", travel);
  const keys = { "+": ["scale", 0.5], "=": ["scale", 0.5], "-": ["scale", 2], "−": ["scale", 2], p: ["pan", -0.5], n: ["pan", 0.5] };
  // JupyterLab runs cells and moves between them with keys that belong to the controls here.
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape") release();
    if (event.target === input) {
      event.stopPropagation();
      if (event.key === "Enter") { event.preventDefault(); travel(); }
      return;
    }
    const move = !event.ctrlKey && !event.metaKey && !event.altKey && keys[event.key];
    if (move) {
      event.preventDefault();
      ask(move[0] === "pan" ? { kind: "pan", share: move[1] } : { kind: "scale", factor: move[1] });
    }
    event.stopPropagation();
  });
  ask({ kind: "start" });
}

export default { render };
