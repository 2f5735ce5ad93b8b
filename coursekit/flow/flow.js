// Step through a sequence diagram. Python draws (draw.py); this adds the place and the keyboard.
// data: {title, alt, table, figures: [{name, head, even, time}], rows: [[detail, ...], ...]}
// where head, even and time are [height, content of an <svg>] and detail is null where a trace
// has no step in that row.

const KEYS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -1e9, End: 1e9 };

function make(tag, css, text) {
  const node = document.createElement(tag);
  if (css) node.className = css;
  if (text !== undefined) node.textContent = text;
  return node;
}

function button(text, label, act) {
  const node = make("button", "fsts-button", text);
  node.type = "button";
  node.setAttribute("aria-label", label);
  node.addEventListener("click", act);
  return node;
}

function drawing(css, [height, content], alt) {
  const holder = make("div");
  const hidden = alt ? `role="img" aria-label=""` : `aria-hidden="true"`;
  holder.innerHTML = `<svg class="${css}" width="100%" height="${height}" ${hidden}>${content}</svg>`;
  const svg = holder.firstChild;
  if (alt) svg.setAttribute("aria-label", alt);
  return svg;
}

function render({ model, el }) {
  const data = model.get("data");
  let spacing = "even", bytes = "text";

  const root = make("div", data.figures.length > 1 ? "fsts-flow fsts-two" : "fsts-flow");
  if (data.figures.some((figure) => figure.many)) root.classList.add("fsts-many");
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", data.title);
  root.dataset.lmSuppressShortcuts = "true"; // else the notebook takes the arrow keys

  const stage = make("div", "fsts-stage");
  stage.tabIndex = 0;
  stage.setAttribute("role", "group");
  stage.setAttribute("aria-roledescription", "sequence diagram");
  stage.setAttribute("aria-label", "Steps: left and right arrow keys, Home and End");
  const pane = make("div", "fsts-pane");
  pane.tabIndex = 0;
  pane.setAttribute("role", "region");
  pane.setAttribute("aria-label", "The step in detail");
  const said = make("div", "fsts-said");
  said.setAttribute("aria-live", "polite");

  const go = (by) => {
    const next = model.get("step") + by;
    model.set("step", Math.max(0, Math.min(data.rows.length - 1, next)));
    model.save_changes();
  };
  const place = make("span", "fsts-place");
  const toggle = (text, label, act) => {
    const node = button(text, label, () => {
      const on = node.getAttribute("aria-pressed") !== "true";
      node.setAttribute("aria-pressed", on);
      act(on);
    });
    node.setAttribute("aria-pressed", "false");
    return node;
  };
  const bar = make("div", "fsts-bar-buttons");
  bar.setAttribute("role", "toolbar");
  bar.setAttribute("aria-label", "Diagram");
  const prev = button("◀ Prev", "Previous step", () => go(-1));
  const next = button("Next ▶", "Next step", () => go(1));
  bar.append(
    prev, place, next, make("span", "fsts-gap"),
    toggle("Time to scale", "Space the steps to scale in time", (on) => {
      spacing = on ? "time" : "even";
      draw();
    }),
    toggle("Hex", "Show bytes as hexadecimal", (on) => {
      bytes = on ? "hex" : "text";
      look();
    }),
  );

  function draw() {
    stage.replaceChildren(...data.figures.map((figure) => {
      const box = make("div", "fsts-figure");
      if (figure.many) box.style.minWidth = `${figure.narrowest}px`; // then the stage scrolls
      if (data.figures.length > 1) box.append(make("div", "fsts-name", figure.name));
      box.append(drawing("fsts-lanes", figure.head), drawing("fsts-steps", figure[spacing], data.alt));
      return box;
    }));
    look();
  }

  function look() {
    const at = model.get("step");
    for (const node of stage.querySelectorAll(".fsts-step")) {
      const now = Number(node.dataset.row) === at;
      node.classList.toggle("fsts-now", now);
      if (!now) continue;
      node.parentNode.append(node); // to the front, where steps crowd
      reveal(node);
    }
    const details = (data.rows[at] || []).map((detail, i) => explain(detail, data.figures[i].name));
    pane.replaceChildren(...details);
    place.textContent = `${Math.min(at + 1, data.rows.length)} of ${data.rows.length}`;
    prev.disabled = at <= 0;
    next.disabled = at >= data.rows.length - 1;
    said.textContent = `Step ${at + 1}. ` + (data.rows[at] || []).map(
      (detail, i) => (data.figures.length > 1 ? `${data.figures[i].name}: ` : "")
        + (detail ? `${detail.who}: ${detail.label}` : "nothing here")).join(". ");
  }

  // Not scrollIntoView: that would move the notebook too.
  function reveal(node) {
    const row = node.getBoundingClientRect(), box = stage.getBoundingClientRect();
    if (row.top < box.top + 60) stage.scrollTop -= box.top + 60 - row.top;
    if (row.bottom > box.bottom - 12) stage.scrollTop += row.bottom - box.bottom + 12;
  }

  function explain(detail, name) {
    const box = make("div", "fsts-detail");
    if (data.figures.length > 1) box.append(make("div", "fsts-name", name));
    if (!detail) {
      box.append(make("p", "fsts-none", "Nothing here: only the other one has this step."));
      return box;
    }
    box.append(make("div", "fsts-title", `${detail.number}. ${detail.label}`),
      make("div", "fsts-who", detail.who), make("div", "fsts-when", detail.when));
    if (detail.note && !detail.text.length) box.append(make("div", "fsts-note", detail.note));
    if (detail.text.length) {
      box.append(make("pre", "fsts-bytes", detail[bytes].join("\n")));
    }
    if (detail.fields.length) {
      const list = make("div", "fsts-fields");
      for (const [key, value] of detail.fields) {
        const line = make("div", "fsts-field");
        line.append(make("span", "fsts-key", key), " ", make("span", "fsts-value", value));
        list.append(line);
      }
      box.append(list);
    }
    return box;
  }

  root.addEventListener("keydown", (event) => {
    if (!(event.key in KEYS) || event.target === pane || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    go(KEYS[event.key]);
  });
  stage.addEventListener("click", (event) => {
    const node = event.target.closest(".fsts-step");
    if (node) go(Number(node.dataset.row) - model.get("step"));
  });

  const text = make("details", "fsts-table");
  text.append(make("summary", "", "The same as text"), make("pre", "", data.table));
  const columns = make("div", "fsts-columns");
  columns.append(stage, pane);
  const legend = make("div", "fsts-legend");
  legend.innerHTML =
    '<span><svg width="34" height="10" aria-hidden="true"><path class="fsts-ink" d="M0 5H26"/>' +
    '<path class="fsts-ink fsts-full" d="M25 1L33 5L25 9Z"/></svg> bytes on the wire</span>' +
    '<span><svg width="34" height="10" aria-hidden="true"><path class="fsts-ink" stroke-dasharray="5 4" d="M0 5H32"/>' +
    '<path class="fsts-ink" d="M25 1L33 5L25 9"/></svg> call of the interface</span>' +
    '<span><svg width="34" height="12" aria-hidden="true"><path class="fsts-ink" d="M0 6H31"/>' +
    '<path class="fsts-ink" stroke-width="3" d="M31 1V11"/></svg> end of one direction (bar: FIN, cross: RST)</span>' +
    (data.rows.flat().some((detail) => detail && detail.process)
      ? '<span><svg width="34" height="10" aria-hidden="true"><path class="fsts-ink" stroke-dasharray="1.5 4" d="M0 5H24"/>' +
        '<path class="fsts-ink" d="M25 1H33V9H25Z"/></svg> a process: start, signal, log; end (square)</span>' : "");
  root.append(make("div", "fsts-heading", data.title), bar, columns, legend, text, said);
  el.append(root);
  draw();

  model.on("change:step", look);
  return () => model.off("change:step", look);
}

export default { render };
