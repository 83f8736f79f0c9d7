// Cursor over the points of one ntviz figure, ringed in every panel. Without it the image, its alt text and its caption stay.
(function (script) {
  var TYPE = "application/vnd.ntviz.points+json";
  var here = script && script.closest ? script.closest("figure[data-ntviz]") : null;
  var figures = here ? [here] : document.querySelectorAll("figure[data-ntviz]");
  Array.prototype.forEach.call(figures, enhance);

  function enhance(figure) {
    var source = figure.querySelector('script[type="' + TYPE + '"]');
    var image = figure.querySelector("img");
    if (!source || !image || figure.hasAttribute("data-live")) return;
    figure.setAttribute("data-live", "");
    var data = JSON.parse(source.textContent), n = data.n;
    var bytes = Uint8Array.from(atob(data.places), function (c) { return c.charCodeAt(0); });
    var view = new DataView(bytes.buffer);
    function x(k) { return view.getFloat32(8 * k, true); }
    function y(k) { return view.getFloat32(8 * k + 4, true); }
    var all = bytes.length / 8;

    var stage = document.createElement("div");
    stage.style.cssText = "position:relative;display:inline-block;max-width:100%;line-height:0;cursor:crosshair;" +
      "touch-action:pan-y;border-radius:3px";
    image.parentNode.insertBefore(stage, image);
    stage.appendChild(image);
    var rings = [];
    for (var panel = 0; panel < all / n; panel++) {
      var ring = document.createElement("div"), size = 2 * data.radius + "px";
      ring.style.cssText = "position:absolute;pointer-events:none;display:none;box-sizing:border-box;border-radius:50%;" +
        "transform:translate(-50%,-50%);border:2px solid #d0006f;box-shadow:0 0 0 1.5px #fff;width:" + size + ";height:" + size;
      ring.setAttribute("data-ring", "");
      rings.push(stage.appendChild(ring));
    }
    var line = document.createElement("div");
    line.style.cssText = "position:sticky;bottom:0;min-height:3em;padding-top:4px;background:#fff;color:#1f2328;" +
      "font-variant-numeric:tabular-nums";
    stage.parentNode.insertBefore(line, stage.nextSibling);
    line.textContent = "Point at the figure, or focus it and press \u2190 \u2192 (Shift: 10 steps, Home, End), to read windows. " +
      "Click, or press Enter, to keep one and copy its region; Esc lets it go.";
    line.setAttribute("data-readout", "");

    // A slider is what assistive technology knows to move with arrow keys and to read out.
    var at = -1, kept = false;
    var set = stage.setAttribute.bind(stage);
    set("role", "slider");
    set("tabindex", "0");
    set("aria-label", "Cursor: " + data.title);
    set("aria-valuemin", "0");
    set("aria-valuemax", String(n - 1));
    set("aria-valuenow", "0");
    set("aria-valuetext", data.texts[0]);
    // JupyterLab binds the arrow keys. Versions that listen before us heed this attribute; others, preventDefault below.
    set("data-lm-suppress-shortcuts", "true");

    stage.addEventListener("pointermove", function (event) { if (!kept) move(nearest(event)); });
    stage.addEventListener("click", function (event) {
      var point = nearest(event);
      kept = !(kept && point === at);
      move(point);
    });
    stage.addEventListener("keydown", function (event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      var step = event.shiftKey ? 10 : 1, page = Math.max(1, Math.round(n / 10)), from = Math.max(at, 0);
      var first = at < 0 ? 0 : step;
      var to = {
        ArrowRight: from + first, ArrowDown: from + first, ArrowLeft: from - first, ArrowUp: from - first,
        PageDown: from + page, PageUp: from - page, Home: 0, End: n - 1, Enter: from, Escape: from
      }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      if (event.key === "Enter" || event.key === "Escape") kept = event.key === "Enter";
      move(Math.min(n - 1, Math.max(0, to)));
    });
    stage.addEventListener("focus", function () {
      if (stage.matches(":focus-visible")) stage.style.outline = "3px solid #0b62d6";
      stage.style.outlineOffset = "2px";
    });
    stage.addEventListener("blur", function () { stage.style.outline = "none"; });

    function nearest(event) {
      var box = image.getBoundingClientRect(), best = 0, far = Infinity;
      for (var k = 0; k < all; k++) {
        var across = x(k) * box.width - event.clientX + box.left, down = y(k) * box.height - event.clientY + box.top;
        var d = across * across + down * down;
        if (d < far) { far = d; best = k % n; }
      }
      return best;
    }
    function move(point) {
      at = point;
      rings.forEach(function (ring, panel) {
        ring.style.display = "block";
        ring.style.left = 100 * x(panel * n + point) + "%";
        ring.style.top = 100 * y(panel * n + point) + "%";
      });
      line.textContent = data.texts[point];
      set("aria-valuenow", String(point));
      set("aria-valuetext", data.texts[point]);
      if (kept) keep(data.regions[point]);
    }
    // One click on the region selects all of it, which works where a script may not write to the clipboard.
    function keep(region) {
      var text = document.createElement("code");
      text.textContent = region;
      text.style.cssText = "user-select:all;-webkit-user-select:all;padding:1px 5px;border:1px solid #d1d9e0;" +
        "border-radius:4px;background:#f6f8fa;color:#1f2328";
      line.append("  \u00b7  copy ", text);
      if (!/^https?:\/\//.test(data.link)) return;
      var link = document.createElement("a");
      link.href = data.link.split("{region}").join(encodeURIComponent(region));
      link.target = "_blank";
      link.rel = "noopener noreferrer";
      link.textContent = "open at " + link.hostname;
      link.style.color = "#0b62d6";
      line.append("  \u00b7  ", link);
    }
  }
})(document.currentScript);
