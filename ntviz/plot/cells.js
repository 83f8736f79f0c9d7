// Two-dimensional cursor of one ntviz figure. Without it the image, its alt text and its caption stay.
(function (script) {
  var TYPE = "application/vnd.ntviz.cells+json";
  var here = script && script.closest ? script.closest("figure[data-ntviz]") : null;
  var figures = here ? [here] : document.querySelectorAll("figure[data-ntviz]");
  Array.prototype.forEach.call(figures, enhance);

  function enhance(figure) {
    var source = figure.querySelector('script[type="' + TYPE + '"]');
    var image = figure.querySelector("img");
    if (!source || !image || figure.hasAttribute("data-live")) return;
    figure.setAttribute("data-live", "");
    var data = JSON.parse(source.textContent), R = data.rows, C = data.columns;
    locate(R);
    locate(C);
    data.lanes.forEach(unpack);

    var stage = document.createElement("div");
    stage.style.cssText = "position:relative;display:inline-block;max-width:100%;line-height:0;cursor:crosshair;" +
      "touch-action:pan-y;border-radius:3px";
    image.parentNode.insertBefore(stage, image);
    stage.appendChild(image);
    var marks = [];
    var line = document.createElement("div");
    line.style.cssText = "position:sticky;bottom:0;min-height:3em;padding-top:4px;background:#fff;color:#1f2328;" +
      "font-variant-numeric:tabular-nums";
    stage.parentNode.insertBefore(line, stage.nextSibling);
    var help = "Point at the figure, or focus it and press the arrow keys (Shift: 10 steps; Home, End; " +
      (data.sheets ? "Page Up, Page Down: another map; " : "") + "M: the largest value of the row), to read values.";
    line.textContent = help;
    line.setAttribute("data-readout", "");
    line.setAttribute("aria-live", "polite");

    // Two directions are more than a slider has: the readout below speaks for the cursor.
    var set = stage.setAttribute.bind(stage);
    set("role", "application");
    set("tabindex", "0");
    set("aria-roledescription", "cursor over rows and columns");
    set("aria-label", "Cursor: " + data.title + ". " + help);
    // JupyterLab binds the arrow keys. Versions that listen before us heed this attribute; others, preventDefault below.
    set("data-lm-suppress-shortcuts", "true");

    var at = null;
    stage.addEventListener("pointermove", function (event) {
      var box = image.getBoundingClientRect();
      find((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    });
    stage.addEventListener("keydown", function (event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      var n = event.shiftKey ? 10 : 1, to = (at || data.start).slice(), key = event.key;
      if (key === "ArrowRight") to[2] += at ? n : 0;
      else if (key === "ArrowLeft") to[2] -= at ? n : 0;
      else if (key === "ArrowDown") to[1] += at ? n : 0;
      else if (key === "ArrowUp") to[1] -= at ? n : 0;
      else if (key === "Home") to[2] = 0;
      else if (key === "End") to[2] = C.n - 1;
      else if (key === "PageDown") to[data.sheets ? 0 : 1] += data.sheets ? 1 : Math.ceil(R.n / 10);
      else if (key === "PageUp") to[data.sheets ? 0 : 1] -= data.sheets ? 1 : Math.ceil(R.n / 10);
      else if (key === "m" || key === "M") to[2] = largest(to);
      else return;
      event.preventDefault();
      event.stopPropagation();
      move(to);
    });
    stage.addEventListener("focus", function () {
      if (stage.matches(":focus-visible")) stage.style.outline = "3px solid #0b62d6";
      stage.style.outlineOffset = "2px";
    });
    stage.addEventListener("blur", function () { stage.style.outline = "none"; });

    function bytes(text) { return Uint8Array.from(atob(text), function (c) { return c.charCodeAt(0); }); }
    function inflate(parts) {
      if (typeof DecompressionStream === "undefined") return Promise.reject();
      return new Response(new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer()
        .then(function (buffer) { return new Uint8Array(buffer); });
    }
    function unpack(lane) {
      function level(q, top) {
        if (q > lane.levels) return NaN;
        // A value is told to one digit where the next level is far.
        var v = top * Math.pow(q / lane.levels, lane.power);
        return lane.digits > 2 ? v : Number(v.toPrecision(lane.power < 0.06 * q ? 2 : 1));
      }
      function ready(read) { lane.at = read; if (at) move(at); }
      function none() { lane.at = null; }
      if (lane.values !== undefined) {
        var view = new DataView(bytes(lane.values).buffer);
        lane.at = function (i) { return view.getFloat32(4 * i, true); };
      } else if (lane.deflated !== undefined) {
        inflate([bytes(lane.deflated)]).then(function (b) {
          var n = b.length / 2;
          ready(function (i) { return level(lane.levels > 255 ? b[i] + 256 * b[n + i] : b[i], lane.top); });
        }).catch(none);
      } else if (lane.of === "image") {
        // The picture is the data: the number of a pixel's colour in the palette is its level.
        picture(bytes(image.src.split(",")[1])).then(function (p) {
          ready(function (i, s, r, c) {
            var b = data.panes[s].box;
            var x = Math.floor((b[0] + (c + 0.5) / C.n * (b[1] - b[0])) * p.w);
            var y = Math.floor((b[2] + (r + 0.5) / R.n * (b[3] - b[2])) * p.h);
            return level(p.at(x, y), lane.tops[s]);
          });
        }).catch(none);
      }
    }
    function picture(b) {
      var view = new DataView(b.buffer), o = 8, parts = [], w = 0, h = 0;
      while (o < b.length) {
        var n = view.getUint32(o), type = String.fromCharCode(b[o + 4], b[o + 5], b[o + 6], b[o + 7]);
        if (type === "IHDR") { w = view.getUint32(o + 8); h = view.getUint32(o + 12); }
        if (type === "IDAT") parts.push(b.subarray(o + 8, o + 8 + n));
        o += 12 + n;
      }
      return inflate(parts).then(function (raw) {
        for (var y = 0; y < h; y++) {
          var row = y * (w + 1) + 1;
          // Our rows are as they are, or steps from the row above.
          if (raw[row - 1] === 2) for (var x = 0; x < w; x++) raw[row + x] = raw[row + x] + raw[row + x - w - 1] & 255;
        }
        return { w: w, h: h, at: function (x, y) { return raw[y * (w + 1) + 1 + x]; } };
      });
    }
    function locate(axis) {
      var from = 0;
      axis.from = [];
      for (var i = 0; i < axis.n; i++) axis.from.push(axis.steps ? from += axis.steps[i] : i);
      axis.size = function (i) { return axis.sizes ? axis.sizes[i] : 1; };
    }
    function nearest(axis, p) {
      var best = 0, far = Infinity;
      for (var i = 0; i < axis.n; i++) {
        var d = Math.max(axis.from[i] - p, 0, p - axis.from[i] - axis.size(i));
        if (d < far) { far = d; best = i; }
      }
      return best;
    }
    function find(x, y) {
      var best = null, far = Infinity, dx, dy;
      data.panes.forEach(function (p) {
        var b = p.box, ax = Math.max(b[0] - x, 0, x - b[1]), ay = Math.max(b[2] - y, 0, y - b[3]);
        if (ax * ax + ay * ay < far) { far = ax * ax + ay * ay; best = p; dx = ax; dy = ay; }
      });
      // Beside a map its row is meant, above or below it its column; in a corner nothing.
      if (!best || (dx && dy && !data.sheets)) return;
      var b = best.box, to = (at || data.start).slice();
      to[0] = best.s || 0;
      if (!dx || data.sheets) to[2] = nearest(C, best.c[0] + (x - b[0]) / (b[1] - b[0]) * (best.c[1] - best.c[0]));
      if (!dy || data.sheets) to[1] = nearest(R, best.r[0] + (y - b[2]) / (b[3] - b[2]) * (best.r[1] - best.r[0]));
      move(to);
    }
    function mark(k, x0, x1, y0, y1, css) {
      if (!marks[k]) stage.appendChild(marks[k] = document.createElement("div"));
      marks[k].style.cssText = "position:absolute;pointer-events:none;box-sizing:border-box;" + css + ";left:" +
        100 * x0 + "%;top:" + 100 * y0 + "%;width:" + 100 * (x1 - x0) + "%;height:" + 100 * (y1 - y0) + "%";
    }
    function along(axis, i, limits, low, high) {
      var a = (axis.from[i] - limits[0]) / (limits[1] - limits[0]);
      var b = (axis.from[i] + axis.size(i) - limits[0]) / (limits[1] - limits[0]);
      var lo = Math.max(0, Math.min(a, b)), hi = Math.min(1, Math.max(a, b));
      return lo < hi ? [low + lo * (high - low), low + hi * (high - low)] : null;
    }
    function move(to) {
      at = [limit(to[0], data.sheets ? data.sheets.length : 1), limit(to[1], R.n), limit(to[2], C.n)];
      var k = 0;
      data.panes.forEach(function (p) {
        var b = p.box, reach = p.reach || b, dark = "#d0006f";
        if ((p.s || 0) !== at[0]) return;
        var x = along(C, at[2], p.c, b[0], b[1]), y = along(R, at[1], p.r, b[2], b[3]);
        if (x) mark(k++, x[0], x[1], reach[2], reach[3], band((x[1] - x[0]) * image.clientWidth, "0 1px"));
        if (y) mark(k++, reach[0], reach[1], y[0], y[1], band((y[1] - y[0]) * image.clientHeight, "1px 0"));
        if (x && y) mark(k++, x[0], x[1], y[0], y[1], "min-width:5px;min-height:5px;border:1.5px solid " + dark);
      });
      while (k < marks.length) marks[k++].style.display = "none";
      line.textContent = describe(at[0], at[1], at[2]);
    }
    // A thin row is filled; of a thick one the edges are drawn, since colours are what the map is about.
    function band(size, width) {
      return "min-width:1px;min-height:1px;" + (size < 5 ? "background:rgba(208,0,111,.3)" :
        "border:solid rgba(208,0,111,.4);border-width:" + width);
    }
    function limit(i, n) { return Math.max(0, Math.min(n - 1, i)); }
    function largest(to) {
      var lane = data.lanes[0], best = to[2], most = -Infinity;
      if (lane.at) for (var c = 0; c < C.n; c++) {
        var v = lane.at(index(to[0], to[1], c), to[0], to[1], c);
        if (v > most) { most = v; best = c; }
      }
      return best;
    }
    function index(s, r, c) { return (s * R.n + r) * C.n + c; }
    function describe(s, r, c) {
      var parts = data.sheets ? [data.sheets[s]] : [];
      parts.push(place(R, r), place(C, c));
      data.lanes.forEach(function (lane) {
        var i = lane.of === "row" ? r : index(s, r, c), text = "";
        if (lane.at) text = number(lane.at(i, s, r, c), lane.digits || 3);
        else if (lane.texts) text = lane.texts[i];
        if (text && text !== "no value" && lane.unit) text += " " + lane.unit;
        if (text) parts.push(lane.label ? lane.label + ": " + text : text);
      });
      return parts.join("  \u00b7  ");
    }
    function place(axis, i) {
      if (axis.names) return (axis.name ? axis.name + " " : "") + axis.names[i];
      var a = axis.from[i], n = axis.size(i);
      var text = axis.name + " " + axis.chrom + ":" + group(a + 1) + (n > 1 ? "\u2013" + group(a + n) : "");
      if (axis.bases) {
        var o = axis.reverse ? axis.start + axis.bases.length - a - n : a - axis.start;
        text += " " + axis.bases.slice(o, o + n) + (axis.reverse ? " (\u2212 strand)" : "");
      }
      var here = [];
      (axis.runs || []).forEach(function (run) { if (i >= run[0] && i < run[1]) here.push(run[2]); });
      return text + (here.length ? " (" + here.join(", ") + ")" : "");
    }
    function number(v, digits) {
      if (v !== v) return "no value";
      if (v === 0) return "0";
      var s = Math.abs(v);
      // So near zero, levels are too far apart to be told as numbers.
      if (digits < 3 && s < 1e-4) return "under 0.0001";
      var text = s >= 1e15 || s < 1e-4 ? v.toExponential(Math.min(1, digits - 1)) : s >= 1e3 ? group(Math.round(v)) :
        String(Number(v.toPrecision(digits)));
      return (digits < 3 ? "about " : "") + text.replace(/-/g, "\u2212");
    }
    function group(v) { return String(v).replace(/\B(?=(\d{3})+$)/g, ","); }
  }
})(document.currentScript);
