// Draws a figure of a page (show.py): unpacks it and, once a page, plotly.js; where either fails, the alt sentence takes its place.
(async (id, packed) => {
  const unzipped = (text) => new Response(new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]).stream()
    .pipeThrough(new DecompressionStream("gzip"))).text();
  const place = document.getElementById(id);
  window.ntvizPlotly ??= window.Plotly ?? (async () => {
    const code = await unzipped([...document.querySelectorAll(".ntviz-plotlyjs")].find((s) => s.textContent).textContent);
    document.head.append(Object.assign(document.createElement("script"), { textContent: code }));
  })();
  try {
    await window.ntvizPlotly;
    const text = (await unzipped(packed)).replace(/#[0-9a-f]{6}/g, (colour) => window.ntvizColours?.[colour] ?? colour); // of a page with a dark theme
    const { data, layout, config } = JSON.parse(text);
    window.ntvizUnfold?.(data); // letters of a page of many figures
    const png = { name: "png", title: "Download as PNG", icon: Plotly.Icons.disk, click: (gd) =>
      Plotly.downloadImage(gd, { ...config.toImageButtonOptions, format: "png", scale: 2 }) };
    await Plotly.newPlot(place, data, layout, { ...config, modeBarButtonsToAdd: [png] });
  } catch (error) { window.ntvizPlotly = undefined; place.textContent = place.ariaLabel; console.error("ntviz", error); }
})
