// The front end of explore.variant: sends what is typed or clicked, and shows the parts of the card as the kernel makes
// them. Every part is HTML that Python has escaped; text that comes back as text is set as text.

function render({ model, el }) {
  const mine = Math.random().toString(36).slice(2);
  let busy = false, wanted = null, counter = 0, bases = { position: 0, here: "", chosen: "" };

  // Parts ------------------------------------------------------------------------------------------------------------
  const input = element("input", { type: "text", "aria-label": "Variant, gene or region", placeholder: "chr20:43,042,364 C>T, HNF4A, or chr20:43,042,300-43,042,400", spellcheck: "false", autocomplete: "off" });
  const go = element("button", { text: "Go", class: "ntvv-go" });
  const letters = Object.fromEntries([..."ACGT"].map((base) => [base, element("button", { text: base, "aria-pressed": "false", onclick: () => ask({ kind: "change", position: bases.position, base }) })]));
  const alternatives = element("span", { class: "ntvv-bases", role: "group", "aria-label": "Alternative base" }, "Alternative", ...Object.values(letters));
  const problem = element("div", { class: "ntvv-error", role: "alert" });
  const status = element("div", { class: "ntvv-status", role: "status" });
  const heads = element("select", { "aria-label": "Head", class: "ntvv-head" });
  const parts = {}, hosts = [];
  for (const name of model.get("shown")) {
    parts[name] = element("div", { class: `ntvv-part ntvv-${name}` });
    hosts.push(parts[name]);
    if (name === "attention") hosts.push(element("div", { class: "ntvv-bar ntvv-heads" }, element("label", {}, "Head, the one that changes most first ", heads)));
    if (name === "substitutions") hosts.push(element("p", { class: "ntvv-help", text: "Click a substitution, or focus the map, move with the arrow keys and press Enter, to go to that variant." }));
  }
  const exports = ["figure", "table"].map((what) => element("button", { text: "Save " + what, class: "ntvv-save-" + what, onclick: () => ask({ kind: "export", what }) }));
  const root = element("div", { class: "ntvv", "data-state": "busy", "data-lm-suppress-shortcuts": "true" },
    element("div", { class: "ntvv-bar" }, input, go, alternatives, ...exports), problem, status, ...hosts);
  el.append(root);

  // Asking -----------------------------------------------------------------------------------------------------------
  function ask(message) {
    // What is asked for while the kernel is busy waits; of several, only the last matters.
    if (busy) { wanted = message; return; }
    busy = true;
    root.dataset.state = "busy";
    if (message.kind === "go" || message.kind === "change") for (const part of Object.values(parts)) part.classList.add("stale");
    if (message.kind !== "export") problem.textContent = "";
    status.textContent = message.kind === "export" ? "Writing …" : "Looking it up …";
    model.send({ ...message, id: `${mine}-${++counter}` });
  }
  function done(text) {
    busy = false;
    status.textContent = text;
    if (wanted) { const next = wanted; wanted = null; ask(next); } else root.dataset.state = "ready";
  }
  const doing = (text) => `${text[0].toUpperCase()}${text.slice(1)} …`;
  const handlers = {
    error(reply) {
      problem.textContent = reply.text;
      for (const part of Object.values(parts)) part.classList.remove("stale");
      done("");
    },
    card(reply) {
      bases = reply.bases;
      root.dataset.name = reply.name; root.dataset.status = reply.status;
      alternatives.style.display = bases.position ? "" : "none";
      for (const [base, button] of Object.entries(letters)) {
        button.disabled = base === bases.here;
        button.setAttribute("aria-pressed", String(base === bases.chosen));
        button.title = base === bases.here ? "The reference's base" : "";
      }
      status.textContent = doing(reply.doing);
    },
    part(reply) {
      const host = parts[reply.name];
      fill(host, reply.html);
      host.classList.remove("stale");
      if (reply.name === "attention") {
        heads.replaceChildren(...(reply.heads || []).map((one) => element("option", { value: `${one.layer},${one.head}`, text: `layer ${one.layer}, head ${one.head}: ${(100 * one.moved).toFixed(1)} % moves` })));
        heads.closest(".ntvv-heads").style.display = reply.heads ? "" : "none";
        if (reply.head) { heads.value = reply.head.join(","); root.dataset.head = heads.value; }
      }
      if (reply.doing) status.textContent = doing(reply.doing); else done(`${root.dataset.name}: done.`);
    },
    export(reply) {
      const [name, type] = { figure: ["variant.html", "text/html"], table: ["variant.tsv", "text/tab-separated-values"] }[reply.what];
      const link = element("a", { href: URL.createObjectURL(new Blob([reply.text], { type })), download: name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
      done(`Saved ${name}.`);
    },
  };
  // Of two views of one widget, each answers to its own questions alone.
  model.on("msg:custom", (reply) => { if (handlers[reply.kind] && reply.id === `${mine}-${counter}`) handlers[reply.kind](reply); });

  // Picking in the map -----------------------------------------------------------------------------------------------
  // The map's own cursor reads out the substitution it stands on: that is the one meant.
  function pick() {
    const line = parts.substitutions.querySelector("[data-readout]");
    const place = line && line.textContent.match(/position [^ ]*:([\d,]+)/), change = line && line.textContent.match(/[ACGT]>([ACGT])/);
    if (place && change) ask({ kind: "change", position: Number(place[1].replace(/,/g, "")), base: change[1] });
  }
  parts.substitutions.addEventListener("pointerdown", (event) => {
    if (event.target.closest("img")) event.target.dispatchEvent(new PointerEvent("pointermove", { clientX: event.clientX, clientY: event.clientY, bubbles: true }));
  });
  parts.substitutions.addEventListener("click", (event) => { if (event.target.closest("img")) pick(); });
  parts.substitutions.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); event.stopPropagation();
    pick();
  });

  // Controls ---------------------------------------------------------------------------------------------------------
  const travel = () => { if (input.value.trim()) ask({ kind: "go", text: input.value }); };
  go.addEventListener("click", travel);
  // JupyterLab runs cells and moves between them with keys that belong to the controls here.
  input.addEventListener("keydown", (event) => { event.stopPropagation(); if (event.key === "Enter") { event.preventDefault(); travel(); } });
  heads.addEventListener("change", () => { const [layer, head] = heads.value.split(",").map(Number); ask({ kind: "head", layer, head }); });
  for (const part of root.querySelectorAll("button, select")) part.addEventListener("keydown", (event) => event.stopPropagation());
  ask({ kind: "start" });
}

export default { render };
