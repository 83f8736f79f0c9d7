// A plotly figure whose state is in Python (live.py). Figure and plotly.js are in the first state, so drawing needs no message.

/** plotly.js, once a page: what JupyterLab's plotly extension loaded, else the library widget's copy. */
function plotly(model) {
  if (parseInt(window.Plotly?.version) >= 3) return window.Plotly; // older ones read no binary arrays
  return (window.ntvizLive ??= (async () => {
    const library = await model.widget_manager.get_model(model.get("library").slice("IPY_MODEL_".length));
    const code = new Blob([library.get("code")]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(code).text();
    document.head.append(script);
    return window.Plotly ?? window.moduleName;
  })());
}

/** A copy for plotly, which writes into what it gets, in the colours of the theme. */
function own(value, colours) {
  if (Array.isArray(value)) return value.map((part) => own(part, colours));
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, own(v, colours)]));
  if (typeof value !== "string") return value;
  return colours[value] ?? (value.includes(":#") ? value.replace(/#[0-9a-f]{6}/g, (colour) => colours[colour] ?? colour) : value);
}

/** anywidget drops all messages to a model that took over two seconds to start; ipywidgets' own handler never does. */
async function reachable(model) {
  const real = await model.widget_manager.get_model(model.get("address"));
  real.comm?.on_msg(Object.getPrototypeOf(Object.getPrototypeOf(real))._handle_comm_msg.bind(real));
  if (real.comm_live) model.send({ kind: "alive" });
}

function render({ model, el }) {
  const box = document.createElement("div");
  Object.assign(box, { tabIndex: 0, role: "group", className: "ntviz-live" });
  box.dataset.lmSuppressShortcuts = "true";
  const size = () => (box.style.height = `${model.get("figure").layout.height ?? 450}px`); // what plotly takes when the page is resized
  size();
  el.append(box);
  let lib, drawing, again, next = [], whole = {};

  /** Ask Python, at once or when it has answered: meanwhile the last of each kind waits. */
  function ask(content) {
    if (box.ariaBusy) return void (next = [...next.filter(({ kind }) => kind !== content.kind), content]);
    [box.ariaBusy, box.style.cursor] = ["true", "progress"];
    model.send(content);
  }
  const answered = () => (([box.ariaBusy, box.style.cursor] = [null, ""]), next.length && ask(next.shift()));
  const axes = () => Object.entries(box._fullLayout).filter(([name, axis]) => /^[xy]axis\d*$/.test(name) && axis.range);
  const dark = () => document.body.dataset.jpThemeLight === "false";

  async function draw() {
    if (drawing || !box.clientWidth) return void (again = true);
    drawing = true;
    do {
      again = false;
      box.setAttribute("aria-label", model.get("alt"));
      size();
      try {
        lib ??= await plotly(model);
        const { data, layout, config } = own(model.get("figure"), dark() ? model.get("dark") : {});
        const fresh = box._fullLayout?.uirevision !== layout.uirevision;
        // plotly takes a range set by our own keys for the figure's, and would put the figure's back.
        const zoomed = fresh ? [] : axes().filter(([name, axis]) => !axis.autorange && String(axis.range) !== String(whole[name]));
        whole = Object.fromEntries(Object.entries(layout).map(([name, axis]) => [name, axis?.range && [...axis.range]])); // plotly writes into its own
        for (const [name, axis] of zoomed) layout[name] = { ...layout[name], range: [...axis.range], autorange: false };
        const png = { name: "png", title: "Download as PNG", icon: lib.Icons.disk, click: (gd) =>
          lib.downloadImage(gd, { ...config.toImageButtonOptions, format: "png", scale: 2 }) };
        await lib[fresh ? "newPlot" : "react"](box, data, layout, { ...config, modeBarButtonsToAdd: [png] });
        if (fresh) listen();
        box.classList.add("ntviz-drawn"); // live.py hides the still figure above
        model.send({ kind: "drawn", revision: model.get("figure").revision });
      } catch (error) {
        console.error("ntviz", error);
        if (!box._fullLayout) box.textContent = model.get("alt");
        window.ntvizLive = undefined;
      }
    } while (again);
    drawing = false;
  }

  function listen() {
    box.on("plotly_click", ({ points: [p] }) =>
      ask({ kind: "click", trace: p.curveNumber, x: p.x, y: p.y, z: p.z, index: p.pointIndex ?? p.pointNumber }));
    box.on("plotly_relayout", (change) => {
      if (!Object.keys(change).some((name) => /^[xy]axis\d*\.(auto)?range/.test(name))) return;
      ask({ kind: "ranges", ranges: Object.fromEntries(axes().map(([k, a]) => [k, [...a.range]])) });
    });
  }

  box.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [-0.1, -0.1], ArrowRight: [0.1, 0.1], "+": [0.1, -0.1], "-": [-0.125, 0.125] }[event.key];
    if (!lib || !box._fullLayout?.xaxis?.range || !(move || event.key === "0")) return;
    event.preventDefault();
    const [from, to] = box._fullLayout.xaxis.range;
    const range = move ? [from + move[0] * (to - from), to + move[1] * (to - from)] : whole.xaxis;
    lib.relayout(box, range ? { "xaxis.range": [...range] } : { "xaxis.autorange": true });
  });

  model.on("change:figure", draw);
  model.on("msg:custom", answered);
  const themes = new MutationObserver(() => requestAnimationFrame(draw)); // JupyterLab hides its pages while it changes theme
  themes.observe(document.body, { attributeFilter: ["data-jp-theme-light"] });
  const sizes = new ResizeObserver(() => (lib && box._fullLayout && box.clientWidth && !again ? lib.Plots.resize(box) : draw()));
  sizes.observe(box);
  return () => (themes.disconnect(), sizes.disconnect(), lib?.purge(box));
}

export default { initialize: ({ model }) => void reachable(model), render };
