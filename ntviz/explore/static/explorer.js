// The front end of explore.attention: asks the kernel for exactly what is shown, and draws it.
// Positions are kept as bp within the sequence, in reading direction (0-based); people see 1-based genome coordinates.

const MARGIN = { left: 104, top: 74, right: 18, bottom: 50 };
const SIDE = 560;

const thousands = (n) => String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ",");
const short = (v) => (v === 0 ? "0" : Math.abs(v) >= 100 ? thousands(v) : Math.abs(v) >= 1e-3 ? Number(v.toPrecision(3)).toString() : v.toExponential(1)).replace("-", "−");

function render({ model, el }) {
  const colours = model.get("colours");
  let place = null, view = null, picked = null, cursor = null, drag = null, head = [0, 0], allele = "reference";
  let wanted = null, busy = false, counter = 0, lastAsked = 0;

  // Parts ------------------------------------------------------------------------------------------------------------
  const input = element("input", { type: "text", "aria-label": "Gene, region or variant", placeholder: "HNF4A, chr20:43,029,700-43,031,200, or chr20:43,030,000 A>G", spellcheck: "false" });
  const go = element("button", { text: "Go", class: "ntv-go" });
  const problem = element("div", { class: "ntv-error", role: "alert" });
  const notice = element("div", { class: "ntv-notice ntv-note", role: "status" });
  const title = element("div", { class: "ntv-title" });
  const note = element("div", { class: "ntv-note" });
  const where = element("div", { class: "ntv-where" });
  const score = element("select", { "aria-label": "Colour heads by", class: "ntv-score" });
  const alleles = element("select", { "aria-label": "Allele", class: "ntv-allele" });
  const heads = element("div", { class: "ntv-heads", role: "radiogroup", "aria-label": "Heads, layers from top to bottom, numbered from 0" });
  const headScale = element("div", { class: "ntv-scale" });
  const map = element("canvas", { class: "ntv-map", tabindex: "0", role: "application", "aria-label": "Attention map; arrow keys move, plus and minus zoom, 0 shows all, Enter picks a word" });
  const mapScale = element("div", { class: "ntv-scale" });
  const readout = element("div", { class: "ntv-readout", "aria-live": "polite" });
  const base = element("canvas");
  const profile = element("canvas", { class: "ntv-profile" });
  const strongest = element("div");
  const buttons = {};
  for (const [name, text, label] of [["in", "+", "Zoom in"], ["out", "−", "Zoom out"], ["all", "All", "Show the whole window"]]) {
    buttons[name] = element("button", { text, "aria-label": label, title: label, class: "ntv-" + name });
  }
  const file = element("input", { type: "file", accept: ".bed,.gff,.gff3,.gtf,.txt", "aria-label": "Add elements from a BED file" });
  const exports = ["figure", "table", "code"].map((what) => element("button", { text: "Save " + what, class: "ntv-save-" + what, onclick: () => ask({ kind: "export", what }) }));
  const root = element("div", { class: "ntv", "data-state": "busy", "data-lm-suppress-shortcuts": "true" },
    element("div", { class: "ntv-bar" }, input, go, element("label", { class: "ntv-file" }, file, "Add BED …"), ...exports),
    problem, notice, title, note,
    element("div", { class: "ntv-main" },
      element("div", {}, element("label", { text: "Heads, coloured by " }, score), heads, headScale,
        element("p", { class: "ntv-help", text: "Rows are layers, columns heads, both from 0. Click one, or use the arrow keys." })),
      element("div", {},
        element("div", { class: "ntv-bar" }, buttons.in, buttons.out, buttons.all, alleles, where),
        map, mapScale, readout, profile, strongest,
        element("p", { class: "ntv-help", text: "Each row of the map is a word that looks (query), each column a word that is looked at (key). Drag to zoom, turn the wheel, or use + − 0 and the arrow keys; click a word, or press Enter, to see where it looks and what looks at it." }))));
  el.append(root);

  // Asking -----------------------------------------------------------------------------------------------------------
  function ask(message) {
    // Of views only the last one matters: those asked for while the kernel is busy are replaced.
    if (busy && (message.kind === "view" || message.kind === "token")) { wanted = message; return; }
    busy = true;
    lastAsked = ++counter;
    root.dataset.state = "busy";
    model.send({ ...message, id: lastAsked });
  }
  function answered() {
    busy = false;
    if (wanted) { const next = wanted; wanted = null; ask(next); } else root.dataset.state = "ready";
  }
  const handlers = {
    error(reply) { problem.textContent = reply.text; },
    place(reply) {
      place = reply; picked = null; cursor = null; allele = "reference"; head = reply.head;
      problem.textContent = "";
      notice.textContent = reply.said || "";
      title.textContent = `${model.get("model")} at ${reply.name}`;
      note.textContent = `${reply.label} (1-based)${reply.assembly ? " · " + reply.assembly : ""} · ${reply.note}`;
      const kept = score.value;
      score.replaceChildren(...Object.keys(reply.scores).map((name) => element("option", { value: name, text: name })));
      if (reply.scores[kept]) score.value = kept;
      alleles.replaceChildren(...reply.alleles.map((name) => element("option", { value: name, text: name })));
      alleles.style.display = reply.alleles.length > 1 ? "" : "none";
      drawHeads(); drawProfile(null);
      look([reply.first, reply.spans.length], [reply.first, reply.spans.length]);
    },
    view(reply, parts) {
      const bytes = (part) => part.buffer.slice(part.byteOffset, part.byteOffset + part.byteLength);
      view = { ...reply, values: new Float32Array(bytes(parts[0])), which: new Int32Array(bytes(parts[1])) };
      problem.textContent = "";
      head = reply.head; allele = reply.allele; alleles.value = allele;
      root.dataset.head = head.join(","); root.dataset.query = reply.query.join(","); root.dataset.key = reply.key.join(","); root.dataset.allele = allele;
      markHead(); drawMap();
      if (picked !== null) ask({ kind: "token", token: picked });
    },
    token(reply, parts) {
      const floats = (part) => new Float32Array(part.buffer.slice(part.byteOffset, part.byteOffset + part.byteLength));
      drawProfile({ token: reply.token, special: reply.special, row: floats(parts[0]), column: floats(parts[1]) });
    },
    export(reply) {
      const [name, type] = { figure: ["attention.html", "text/html"], table: ["attention.tsv", "text/tab-separated-values"], code: ["attention.py", "text/x-python"] }[reply.what];
      const link = element("a", { href: URL.createObjectURL(new Blob([reply.text], { type })), download: name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
      readout.textContent = `Saved ${name}.`;
      root.dataset.saved = name; root._saved = reply.text;
    },
  };
  model.on("msg:custom", (reply, parts) => {
    if (!handlers[reply.kind]) return;
    if (reply.id === lastAsked) busy = false;
    const followed = counter;
    handlers[reply.kind](reply, parts);
    if (!busy && counter === followed) answered();
  });

  // Places on the genome ---------------------------------------------------------------------------------------------
  const genome = (offset) => (place.reverse ? place.end - offset : place.start + offset + 1);
  function span(token) {
    const [a, b] = place.spans[token];
    if (a === b) return "<cls>";
    const ends = [genome(a), genome(b - 1)].sort((x, y) => x - y);
    return `${place.chrom}:${thousands(ends[0])}${ends[0] === ends[1] ? "" : "-" + thousands(ends[1])}`;
  }
  const bases = (token) => (allele === "reference" ? place.sequence : place.changed).slice(...place.spans[token]);
  const extent = ([a, b]) => [place.spans[a][0], place.spans[b - 1][1]];

  // Heads ------------------------------------------------------------------------------------------------------------
  function ink(rgb) { return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2] > 140 ? "#1f2328" : "#ffffff"; }
  function drawHeads() {
    const { grid, unit } = place.scores[score.value];
    const known = grid.flat().filter((value) => value !== null);
    const low = Math.min(0, ...known), high = Math.max(...known, low + 1e-12);
    heads.style.gridTemplateColumns = `18px repeat(${grid[0].length}, minmax(0, 1fr))`;
    const cells = [element("span")];
    for (let h = 0; h < grid[0].length; h++) cells.push(element("span", { class: "ntv-axis", text: h }));
    grid.forEach((row, l) => {
      cells.push(element("span", { class: "ntv-axis", text: l }));
      row.forEach((value, h) => {
        const rgb = value === null ? [200, 200, 200] : colours.magnitude[Math.round((255 * (value - low)) / (high - low))];
        const text = value === null ? "" : short(value);
        const cell = element("button", { class: "ntv-cell", role: "radio", "data-head": `${l},${h}`, "aria-label": `layer ${l} head ${h}, ${score.value} ${text || "unknown"} ${unit}`, title: `layer ${l}, head ${h}: ${text} ${unit}`, text: row.length <= 8 ? text : "" });
        cell.style.background = `rgb(${rgb})`; cell.style.color = ink(rgb);
        cells.push(cell);
      });
    });
    heads.replaceChildren(...cells);
    ramp(headScale, colours.magnitude, short(low), `${short(high)} ${unit}`);
    markHead();
  }
  function markHead() {
    for (const cell of heads.querySelectorAll(".ntv-cell")) {
      const own = cell.dataset.head === head.join(",");
      cell.setAttribute("aria-checked", String(own)); cell.tabIndex = own ? 0 : -1;
    }
  }
  function choose(next) {
    const { grid } = place.scores[score.value];
    head = [Math.min(Math.max(next[0], 0), grid.length - 1), Math.min(Math.max(next[1], 0), grid[0].length - 1)];
    markHead();
    look(view.query, view.key);
  }
  function ramp(host, lut, low, high) {
    const strip = element("span", { class: "ntv-ramp" });
    strip.style.background = `linear-gradient(to right, ${[0, 51, 102, 153, 204, 255].map((i) => `rgb(${lut[i]})`).join(",")})`;
    host.replaceChildren(element("span", { text: low }), strip, element("span", { text: high }));
  }

  // The map ----------------------------------------------------------------------------------------------------------
  function look(query, key) { ask({ kind: "view", head, query, key, allele, most: [SIDE >> 1, SIDE >> 1] }); }
  function cellEdges(range, pool, n) {
    const edges = [];
    for (let i = 0; i <= n; i++) { const token = Math.min(range[0] + i * pool, range[1]); edges.push(token === range[1] ? place.spans[token - 1][1] : place.spans[token][0]); }
    return edges;
  }
  function sized(canvas, height, across) {
    const width = Math.max(320, across || canvas.parentElement.clientWidth || SIDE + MARGIN.left + MARGIN.right);
    const ratio = window.devicePixelRatio || 1;
    canvas.width = width * ratio; canvas.height = height * ratio; canvas.style.height = height + "px";
    const draw = canvas.getContext("2d");
    draw.setTransform(ratio, 0, 0, ratio, 0, 0);
    draw.font = "11px Helvetica, Arial, 'Liberation Sans', sans-serif";
    return [draw, width];
  }
  const tracks = () => [...(place.genes.length ? ["genes"] : []), ...Object.keys(place.elements)].slice(0, 7);
  function frame() {
    const n = tracks().length, room = 12 * n + 10;
    const width = Math.max(320, map.parentElement.clientWidth || 700);
    const left = 76 + room, top = room + 8;
    const side = Math.min(SIDE, width - left - MARGIN.right);
    return { left, top, side, room, names: tracks() };
  }
  function ticks(low, high, room) {
    const rough = (high - low) / Math.max(2, room / 110);
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = Math.max(1, unit * [1, 2, 5, 10].find((m) => m * unit >= rough));
    const found = [];
    const ends = [genome(low), genome(high - 1)].sort((a, b) => a - b);
    for (let p = Math.ceil(ends[0] / step) * step; p <= ends[1]; p += step) found.push(p);
    return found;
  }
  function offsetOf(position) { return place.reverse ? place.end - position : position - place.start - 1; }
  function drawMap() {
    const at = frame();
    const [draw] = sized(base, at.top + at.side + MARGIN.bottom, map.parentElement.clientWidth);
    sized(map, at.top + at.side + MARGIN.bottom);
    const style = getComputedStyle(root);
    const ink = style.color, accent = style.getPropertyValue("--brand").trim() || "#0072b2";
    const key = extent(view.key), query = extent(view.query);
    const x = (offset) => at.left + ((offset - key[0]) / (key[1] - key[0])) * at.side;
    const y = (offset) => at.top + ((offset - query[0]) / (query[1] - query[0])) * at.side;
    view.at = { ...at, x, y };
    view.columns = cellEdges(view.key, view.pool[1], view.shape[1]);
    view.rows = cellEdges(view.query, view.pool[0], view.shape[0]);
    const signed = view.allele === "difference";
    let top = 0;
    for (const value of view.values) if (Math.abs(value) > top) top = Math.abs(value);
    view.top = top || 1;
    const lut = signed ? colours.sign : colours.magnitude;
    draw.fillStyle = `rgb(${lut[signed ? 128 : 0]})`;
    draw.fillRect(at.left, at.top, at.side, at.side);
    for (let i = 0; i < view.shape[0]; i++) {
      const y0 = y(view.rows[i]), tall = y(view.rows[i + 1]) - y0;
      for (let j = 0; j < view.shape[1]; j++) {
        const value = view.values[i * view.shape[1] + j];
        const level = signed ? 127.5 + 127.5 * Math.sign(value) * Math.sqrt(Math.abs(value) / view.top) : 255 * Math.sqrt(value / view.top);
        if (!(signed ? Math.abs(level - 127.5) >= 1 : level >= 1)) continue;
        draw.fillStyle = `rgb(${lut[Math.min(255, Math.max(0, Math.round(level)))]})`;
        const x0 = x(view.columns[j]);
        draw.fillRect(x0, y0, x(view.columns[j + 1]) - x0 + 0.3, tall + 0.3);
      }
    }
    draw.strokeStyle = ink; draw.lineWidth = 1; draw.strokeRect(at.left - 0.5, at.top - 0.5, at.side + 1, at.side + 1);
    drawTracks(draw, at, key, x, true, ink, accent);
    drawTracks(draw, at, query, y, false, ink, accent);
    draw.fillStyle = ink; draw.textBaseline = "top"; draw.textAlign = "center";
    for (const position of ticks(key[0], key[1], at.side)) {
      const px = x(offsetOf(position) + 0.5);
      draw.fillRect(px, at.top + at.side, 1, 4); draw.fillText(thousands(position), Math.min(px, at.left + at.side - 26), at.top + at.side + 15);
    }
    draw.fillText(`Key, looked at: position on ${place.chrom}, bp`, at.left + at.side / 2, at.top + at.side + 31);
    draw.textAlign = "right"; draw.textBaseline = "middle";
    for (const position of ticks(query[0], query[1], at.side)) {
      const py = y(offsetOf(position) + 0.5);
      draw.fillRect(at.left - at.room - 4, py, 4, 1); draw.fillText(thousands(position), at.left - at.room - 6, py);
    }
    draw.save(); draw.translate(8, at.top + at.side / 2); draw.rotate(-Math.PI / 2); draw.textAlign = "center";
    draw.fillText("Query, looking", 0, 0); draw.restore();
    drawLetters(draw, at, key, x, true);
    drawLetters(draw, at, query, y, false);
    ramp(mapScale, lut, signed ? short(-view.top) : "0", `${short(view.top)} share of attention${signed ? ", alternative minus reference" : ""} (square-root scale)`);
    const whole = place.spans.length - place.first;
    const pooled = view.pool[0] > 1 || view.pool[1] > 1 ? ` · each cell: the ${signed ? "largest change" : "largest"} of ${view.pool[0]} × ${view.pool[1]} words` : " · every word exactly";
    where.textContent = `Layer ${view.head[0]}, head ${view.head[1]} · ${view.query[1] - view.query[0]} × ${view.key[1] - view.key[0]} of ${whole} words, ${thousands(key[1] - key[0])} bp across${pooled}`;
    overlay();
  }
  function overlay() {
    // What moves with the pointer is drawn over the finished map, which stays as it is.
    const { at } = view, ink = getComputedStyle(root).color, draw = map.getContext("2d");
    draw.save(); draw.setTransform(1, 0, 0, 1, 0, 0); draw.clearRect(0, 0, map.width, map.height); draw.drawImage(base, 0, 0); draw.restore();
    if (picked !== null) band(draw, picked, "rgba(213, 94, 0, 0.9)");
    if (cursor) { draw.strokeStyle = "#d55e00"; draw.lineWidth = 2; const b = box(cursor); draw.strokeRect(b[0], b[1], Math.max(b[2], 2), Math.max(b[3], 2)); }
    if (drag && drag.to) { draw.strokeStyle = ink; draw.setLineDash([4, 3]); draw.strokeRect(Math.min(drag.from[0], drag.to[0]), Math.min(drag.from[1], drag.to[1]), Math.abs(drag.to[0] - drag.from[0]), Math.abs(drag.to[1] - drag.from[1])); draw.setLineDash([]); }
  }
  function drawLetters(draw, at, range, scale, across) {
    const wide = at.side / (range[1] - range[0]);
    if (wide < 7) return;
    const text = allele === "reference" ? place.sequence : place.changed;
    draw.save();
    draw.fillStyle = getComputedStyle(root).color; draw.textAlign = "center"; draw.textBaseline = "middle";
    draw.font = `${Math.min(11, Math.floor(wide * 1.4))}px monospace`;
    for (let p = range[0]; p < range[1]; p++) {
      const middle = scale(p + 0.5);
      if (across) draw.fillText(text[p], middle, at.top + at.side + 8); else draw.fillText(text[p], at.left + at.side + 8, middle);
    }
    draw.restore();
  }
  function band(draw, token, colour) {
    const { at } = view; const [a, b] = place.spans[token];
    draw.fillStyle = colour;
    const x0 = at.x(a), x1 = at.x(b), y0 = at.y(a), y1 = at.y(b);
    if (x1 > at.left && x0 < at.left + at.side) draw.fillRect(Math.max(x0, at.left), at.top + at.side + 1, Math.max(2, x1 - x0), 3);
    if (y1 > at.top && y0 < at.top + at.side) draw.fillRect(at.left - 4, Math.max(y0, at.top), 3, Math.max(2, y1 - y0));
  }
  function drawTracks(draw, at, range, scale, across, ink, accent) {
    const inside = (a, b) => b > range[0] && a < range[1];
    const bar = (a, b, lane, thick) => {
      const p0 = scale(Math.max(a, range[0])), p1 = scale(Math.min(b, range[1])), size = Math.max(1.5, p1 - p0), off = at.room - 6 - 12 * lane - thick / 2;
      if (across) draw.fillRect(p0, at.top - at.room + off, size, thick); else draw.fillRect(at.left - at.room + off, p0, thick, size);
    };
    at.names.forEach((name, lane) => {
      draw.fillStyle = ink; draw.globalAlpha = 0.25; bar(range[0], range[1], lane, 1); draw.globalAlpha = 1;
      draw.fillStyle = name === "genes" ? ink : accent;
      if (name === "genes") {
        for (const gene of place.genes) {
          if (!inside(...gene.body)) continue;
          bar(gene.body[0], gene.body[1], lane, 1.5);
          for (const exon of gene.exons) if (inside(...exon)) bar(exon[0], exon[1], lane, 8);
        }
      } else for (const [a, b] of place.elements[name]) if (inside(a, b)) bar(a, b, lane, 7);
      if (across) {
        draw.fillStyle = ink; draw.textAlign = "right"; draw.textBaseline = "middle";
        const shown = name === "genes" ? [...new Set(place.genes.filter((g) => inside(...g.body)).map((g) => g.name))].slice(0, 2).join(", ") || "genes" : name.replaceAll("_", " ");
        draw.fillText(shown.length > 22 ? shown.slice(0, 21) + "…" : shown, at.left - 8, at.top - 6 - 12 * lane);
      }
    });
  }
  function box([i, j]) {
    const { at } = view; const x0 = at.x(view.columns[j]), y0 = at.y(view.rows[i]);
    return [x0, y0, at.x(view.columns[j + 1]) - x0, at.y(view.rows[i + 1]) - y0];
  }
  function cellAt(px, py) {
    const { at } = view;
    if (px < at.left || py < at.top || px >= at.left + at.side || py >= at.top + at.side) return null;
    const key = extent(view.key), query = extent(view.query);
    const ox = key[0] + ((px - at.left) / at.side) * (key[1] - key[0]), oy = query[0] + ((py - at.top) / at.side) * (query[1] - query[0]);
    const j = view.columns.findIndex((edge, index) => index && ox < edge) - 1, i = view.rows.findIndex((edge, index) => index && oy < edge) - 1;
    return i < 0 || j < 0 ? null : [i, j];
  }
  function pairOf([i, j]) {
    const within = view.which[i * view.shape[1] + j];
    return [view.query[0] + i * view.pool[0] + Math.floor(within / view.pool[1]), view.key[0] + j * view.pool[1] + (within % view.pool[1])];
  }
  function say() {
    if (!cursor) return;
    const [query, key] = pairOf(cursor), value = view.values[cursor[0] * view.shape[1] + cursor[1]];
    root.dataset.cursor = `${query},${key},${value}`;
    const times = view.allele === "difference" ? "" : `, ${short(value / view.uniform)} times uniform`;
    readout.replaceChildren(
      element("div", {}, `${span(query)} `, element("code", { text: bases(query) }), ` looks at ${span(key)} `, element("code", { text: bases(key) }), ` (1-based)`),
      element("div", { text: `weight ${short(value)}${times}` }));
  }
  function point(event) { const b = map.getBoundingClientRect(); return [event.clientX - b.left, event.clientY - b.top]; }
  function zoom(factor, centre) {
    const next = [view.query, view.key].map((range, side) => {
      const whole = [place.first, place.spans.length];
      const size = Math.max(4, Math.min(whole[1] - whole[0], Math.round((range[1] - range[0]) * factor)));
      const middle = centre ? centre[side] : (range[0] + range[1]) / 2;
      const share = centre ? (middle - range[0]) / (range[1] - range[0]) : 0.5;
      const low = Math.round(Math.min(Math.max(middle - share * size, whole[0]), whole[1] - size));
      return [low, low + size];
    });
    look(next[0], next[1]);
  }
  function pan(rows, columns) {
    const moved = [[view.query, rows], [view.key, columns]].map(([range, by]) => {
      const size = range[1] - range[0], shift = Math.round(by * size);
      const low = Math.min(Math.max(range[0] + shift, place.first), place.spans.length - size);
      return [low, low + size];
    });
    look(moved[0], moved[1]);
  }
  function pick(token) { picked = token; overlay(); ask({ kind: "token", token }); }

  map.addEventListener("pointerdown", (event) => { map.focus({ preventScroll: true }); if (view && cellAt(...point(event))) { drag = { from: point(event) }; map.setPointerCapture(event.pointerId); } });
  map.addEventListener("pointermove", (event) => {
    if (!view) return;
    const at = point(event);
    if (drag) { if (Math.hypot(at[0] - drag.from[0], at[1] - drag.from[1]) > 5 || drag.to) { drag.to = at; overlay(); } return; }
    const cell = cellAt(...at);
    if (cell && (!cursor || cell[0] !== cursor[0] || cell[1] !== cursor[1])) { cursor = cell; overlay(); say(); }
  });
  map.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const { from, to } = drag; drag = null;
    const { at } = view, clamp = (v, low) => Math.min(Math.max(v, low), low + at.side - 1);
    if (!to) { const cell = cellAt(...from); if (cell) { cursor = cell; say(); pick(pairOf(cell)[0]); } return; }
    const a = cellAt(clamp(Math.min(from[0], to[0]), at.left), clamp(Math.min(from[1], to[1]), at.top)), b = cellAt(clamp(Math.max(from[0], to[0]), at.left), clamp(Math.max(from[1], to[1]), at.top));
    if (!a || !b) { overlay(); return; }
    const rangeOf = (low, high, start, pool, end) => [start + low * pool, Math.min(start + (high + 1) * pool, end)];
    cursor = null;
    look(rangeOf(a[0], b[0], view.query[0], view.pool[0], view.query[1]), rangeOf(a[1], b[1], view.key[0], view.pool[1], view.key[1]));
  });
  map.addEventListener("wheel", (event) => {
    if (!view) return;
    const cell = cellAt(...point(event));
    if (!cell) return;
    event.preventDefault(); cursor = null;
    zoom(event.deltaY < 0 ? 1 / 1.6 : 1.6, pairOf(cell));
  }, { passive: false });
  map.addEventListener("keydown", (event) => {
    if (!view) return;
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const keys = { "+": () => zoom(1 / 1.6, cursor && pairOf(cursor)), "=": () => zoom(1 / 1.6, cursor && pairOf(cursor)), "-": () => zoom(1.6, cursor && pairOf(cursor)), "0": () => buttons.all.click(), Enter: () => cursor && pick(pairOf(cursor)[0]) };
    if (moves[event.key]) {
      const [di, dj] = moves[event.key];
      if (event.shiftKey) { cursor = null; pan(di * 0.25, dj * 0.25); }
      else {
        const [i, j] = cursor || [Math.floor(view.shape[0] / 2), Math.floor(view.shape[1] / 2)];
        cursor = [Math.min(Math.max(i + di, 0), view.shape[0] - 1), Math.min(Math.max(j + dj, 0), view.shape[1] - 1)];
        overlay(); say();
      }
    } else if (keys[event.key]) { const act = keys[event.key]; act(); if (event.key !== "Enter") cursor = null; } else return;
    // JupyterLab would scroll the page or run the cell.
    event.preventDefault(); event.stopPropagation();
  });

  // One word's profile -----------------------------------------------------------------------------------------------
  function drawProfile(found) {
    root.dataset.token = found ? String(found.token) : "";
    profile.style.display = found ? "" : "none";
    if (!found) { strongest.replaceChildren(); return; }
    const at = frame(), each = 54, gap = 22;
    const [draw, width] = sized(profile, 2 * (each + gap) + 4);
    const ink = getComputedStyle(root).color;
    const wide = Math.min(at.side, width - at.left - MARGIN.right), length = place.sequence.length;
    [["where it looks", found.row, "#0072b2"], ["what looks at it", found.column, "#d55e00"]].forEach(([name, values, colour], index) => {
      const base = (index + 1) * (each + gap) - 4;
      let top = 1e-9;
      values.forEach((v, i) => { if (i >= place.first && Math.abs(v) > top) top = Math.abs(v); });
      draw.fillStyle = ink; draw.textAlign = "left"; draw.textBaseline = "bottom";
      draw.fillText(`${span(found.token)}: ${name}, up to ${short(top)} (whole window)`, at.left, base - each - 2);
      draw.globalAlpha = 0.3; draw.fillRect(at.left, base, wide, 1); draw.globalAlpha = 1; draw.fillStyle = colour;
      values.forEach((v, i) => {
        const [a, b] = place.spans[i]; if (a === b) return;
        const tall = (Math.abs(v) / top) * (each - 4);
        draw.fillRect(at.left + (a / length) * wide, base - tall, Math.max(1, ((b - a) / length) * wide), tall);
      });
    });
    const rows = [...found.row.keys()].filter((i) => i >= place.first).sort((a, b) => Math.abs(found.row[b]) - Math.abs(found.row[a])).slice(0, 5);
    const back = [...found.column.keys()].filter((i) => i >= place.first).sort((a, b) => Math.abs(found.column[b]) - Math.abs(found.column[a])).slice(0, 5);
    const line = (i, values) => [element("td", { text: span(i) }), element("td", {}, element("code", { text: bases(i) })), element("td", { text: short(values[i]) })];
    const table = element("table", { class: "ntv-strongest" }, element("tr", {}, element("th", { text: "looks most at", colspan: "3" }), element("th", { text: "is looked at most by", colspan: "3" })));
    rows.forEach((i, place_) => table.append(element("tr", {}, ...line(i, found.row), ...line(back[place_], found.column))));
    strongest.replaceChildren(element("div", { class: "ntv-note", text: `${span(found.token)} ${bases(found.token)} gives ${short(found.special)} of its attention to <cls>.` }), table);
  }

  // Controls ---------------------------------------------------------------------------------------------------------
  const travel = () => { if (input.value.trim()) ask({ kind: "go", text: input.value }); };
  go.addEventListener("click", travel);
  input.addEventListener("keydown", (event) => { event.stopPropagation(); if (event.key === "Enter") { event.preventDefault(); travel(); } });
  score.addEventListener("change", drawHeads);
  alleles.addEventListener("change", () => { allele = alleles.value; look(view.query, view.key); });
  buttons.in.addEventListener("click", () => zoom(1 / 1.6, cursor && pairOf(cursor)));
  buttons.out.addEventListener("click", () => zoom(1.6, cursor && pairOf(cursor)));
  buttons.all.addEventListener("click", () => { cursor = null; look([place.first, place.spans.length], [place.first, place.spans.length]); });
  heads.addEventListener("click", (event) => { const cell = event.target.closest(".ntv-cell"); if (cell) choose(cell.dataset.head.split(",").map(Number)); });
  heads.addEventListener("keydown", (event) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (!moves[event.key]) return;
    event.preventDefault(); event.stopPropagation();
    choose([head[0] + moves[event.key][0], head[1] + moves[event.key][1]]);
    heads.querySelector('[aria-checked="true"]').focus();
  });
  file.addEventListener("change", async () => { const one = file.files[0]; root.dataset.state = "busy"; if (one) ask({ kind: "bed", name: one.name, text: await one.text() }); file.value = ""; });
  for (const part of root.querySelectorAll("button, select")) part.addEventListener("keydown", (event) => event.stopPropagation());
  const watcher = new ResizeObserver(() => { if (view) drawMap(); });
  watcher.observe(root);
  ask({ kind: "start" });
  return () => watcher.disconnect();
}

export default { render };
