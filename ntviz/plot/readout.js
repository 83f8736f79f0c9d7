// Hover readout and keyboard cursor of one ntviz figure. Without it the image, its alt text and its caption stay.
(function (script) {
  var here = script && script.closest ? script.closest("figure[data-ntviz]") : null;
  var figures = here ? [here] : document.querySelectorAll("figure[data-ntviz]");
  Array.prototype.forEach.call(figures, enhance);

  function enhance(figure) {
    var source = figure.querySelector('script[type="application/json"]');
    var image = figure.querySelector("img");
    if (!source || !image || figure.hasAttribute("data-live")) return;
    figure.setAttribute("data-live", "");
    var data = JSON.parse(source.textContent);
    data.lanes.forEach(unpack);

    var stage = document.createElement("div");
    stage.style.cssText = "position:relative;display:inline-block;max-width:100%;line-height:0;cursor:crosshair;" +
      "touch-action:pan-y;border-radius:3px";
    image.parentNode.insertBefore(stage, image);
    stage.appendChild(image);
    var marks = (data.panes || [0]).map(function () {
      var mark = document.createElement("div");
      mark.style.cssText = "position:absolute;pointer-events:none;display:none;box-sizing:border-box;min-width:1.5px;" +
        "background:rgba(208,0,111,.22);border:solid #d0006f;border-width:0 1px";
      return stage.appendChild(mark);
    });
    var line = document.createElement("div");
    line.style.cssText = "position:sticky;bottom:0;min-height:" + (data.lanes.length > 2 ? 3 : 1.5) + "em;padding-top:4px;background:#fff;color:#1f2328;" +
      "font-variant-numeric:tabular-nums";
    stage.parentNode.insertBefore(line, stage.nextSibling);
    line.textContent = "Point at the figure, or focus it and press \u2190 \u2192 (Shift: 10 steps, Home, End), to read values.";
    line.setAttribute("data-readout", "");

    // A slider is what assistive technology knows to move with arrow keys and to read out.
    var at = -1;
    var start = Math.round((data.start === undefined ? (data.n - 1) / 2 : data.start));
    var set = stage.setAttribute.bind(stage);
    set("role", "slider");
    set("tabindex", "0");
    set("aria-label", "Cursor: " + data.title);
    set("aria-valuemin", "0");
    set("aria-valuemax", String(data.n - 1));
    set("aria-valuenow", String(start));
    set("aria-valuetext", describe(start));
    // JupyterLab binds the arrow keys. Versions that listen before us heed this attribute; others, preventDefault below.
    set("data-lm-suppress-shortcuts", "true");

    stage.addEventListener("pointermove", function (event) {
      var box = image.getBoundingClientRect();
      var stop = find((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
      if (stop >= 0) move(stop);
    });
    stage.addEventListener("keydown", function (event) {
      var step = event.shiftKey ? 10 : 1;
      var page = Math.max(1, Math.round(data.n / 10));
      var from = at < 0 ? start : at;
      var to = {
        ArrowRight: at < 0 ? start : from + step, ArrowLeft: at < 0 ? start : from - step,
        ArrowDown: from + step, ArrowUp: from - step,
        PageDown: from + page, PageUp: from - page, Home: 0, End: data.n - 1
      }[event.key];
      if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      move(Math.min(data.n - 1, Math.max(0, to)));
    });
    stage.addEventListener("focus", function () {
      if (stage.matches(":focus-visible")) stage.style.outline = "3px solid #0b62d6";
      stage.style.outlineOffset = "2px";
    });
    stage.addEventListener("blur", function () { stage.style.outline = "none"; });

    function unpack(lane) {
      if (lane.values === undefined) return;
      var bytes = Uint8Array.from(atob(lane.values), function (c) { return c.charCodeAt(0); });
      var view = new DataView(bytes.buffer);
      lane.at = function (i) { return view.getFloat32(4 * i, true); };
    }
    function find(x, y) {
      var best = -1, far = Infinity;
      if (data.panes) data.panes.forEach(function (p) {
        var d = y < p.y0 ? p.y0 - y : y > p.y1 ? y - p.y1 : 0;
        if (x < p.x0 || x >= p.x1 || d >= far) return;
        far = d;
        best = Math.min(data.n - 1, Math.max(0, Math.floor(p.a + (x - p.x0) / (p.x1 - p.x0) * (p.b - p.a))));
      });
      else data.boxes.forEach(function (b, i) {
        var dx = Math.max(b[0] - x, 0, x - b[2]), dy = Math.max(b[1] - y, 0, y - b[3]);
        if (dx * dx + dy * dy < far) { far = dx * dx + dy * dy; best = i; }
      });
      return best;
    }
    function place(mark, x0, y0, x1, y1) {
      mark.style.display = "block";
      mark.style.left = 100 * x0 + "%";
      mark.style.top = 100 * y0 + "%";
      mark.style.width = 100 * (x1 - x0) + "%";
      mark.style.height = 100 * (y1 - y0) + "%";
    }
    function move(stop) {
      at = stop;
      if (data.panes) data.panes.forEach(function (p, k) {
        var w = (p.x1 - p.x0) / (p.b - p.a), x = p.x0 + (stop - p.a) * w;
        if (stop < Math.floor(p.a) || stop >= p.b) marks[k].style.display = "none";
        else place(marks[k], x, p.y0, x + w, p.y1);
      });
      else place.apply(null, [marks[0]].concat(data.boxes[stop]));
      line.textContent = describe(stop);
      set("aria-valuenow", String(stop));
      set("aria-valuetext", line.textContent);
    }
    function number(v) {
      if (v === 0) return "0";
      var s = Math.abs(v);
      var text = s >= 1e15 || s < 1e-3 ? v.toExponential(1) : s >= 1e3 ? group(Math.round(v)) : String(Number(v.toPrecision(3)));
      return text.replace(/-/g, "\u2212");
    }
    function describe(i) {
      var parts = [data.heads ? data.heads[i] : genome(data.genome, i)];
      data.lanes.forEach(function (lane) {
        var text = null;
        if (lane.at) {
          var v = lane.at(i);
          text = v !== v ? "no value" : (lane.letters ? lane.letters[i] + " " : "") + number(v) +
            (lane.unit ? " " + lane.unit : "");
        } else if (lane.texts) text = lane.texts[i];
        else lane.runs.forEach(function (r) { if (i >= r[0] && i < r[1]) text = text ? text + ", " + r[2] : r[2]; });
        if (text) parts.push(lane.label ? lane.label + ": " + text : text);
      });
      return parts.join("  \u00b7  ");
    }
    function genome(g, i) {
      var a = g.first + g.step * i * g.bin, b = a + g.step * (g.bin - 1);
      if (g.step > 0) b = Math.min(b, g.last); else b = Math.max(b, g.last);
      var text = g.chrom + ":" + (a < b ? group(a) + (b > a ? "\u2013" + group(b) : "") : group(b) + (b < a ? "\u2013" + group(a) : ""));
      return text + (g.bases ? " " + g.bases[i] + (g.step < 0 ? " (\u2212 strand)" : "") : "");
    }
    function group(v) { return String(v).replace(/\B(?=(\d{3})+$)/g, ","); }
  }
})(document.currentScript);
