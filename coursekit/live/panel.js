// The panel of a live server, a link to its page, a chat and a stream. Nothing is loaded from anywhere.

// Only the browser knows where Jupyter lives: at /, behind a prefix, or on a Hub. The
// page then goes through jupyter-server-proxy, which knows the user by a cookie.
function pageUrl(port, path) {
  const config = document.getElementById("jupyter-config-data");
  if (!config) return `http://127.0.0.1:${port}${path}`;
  return `${JSON.parse(config.textContent).baseUrl}proxy/${port}${path}`;
}

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function labelled(text, control, className = "") {
  return make("label", { class: `fsts-field ${className}` }, make("span", {}, text), control);
}

function part(title, className, ...children) {
  return make("details", { class: `fsts-part ${className}`, open: true },
    make("summary", {}, title), ...children);
}

// Start, stop, restart, kill; and the state in words.
function toolbar(model, changes) {
  const button = (label, what, usable) => {
    const element = make("button", {
      type: "button", class: `fsts-${what}`, onclick: () => model.send({ do: what }),
    }, label);
    changes("state", () => { element.disabled = !usable(model.get("state")); });
    return element;
  };
  const runs = (state) => state === "running";
  const state = make("span", { class: "fsts-state", role: "status", "aria-live": "polite" });
  changes("state", () => {
    state.dataset.state = model.get("state");
    setText(state, model.get("state") === "gone" ? "stopped; run the cell again" : model.get("state"));
  });
  const notice = make("pre", { class: "fsts-notice", role: "alert" });
  changes("notice", () => {
    setText(notice, model.get("notice"));
    notice.hidden = !model.get("notice");
  });
  return [
    make("div", { class: "fsts-bar" },
      make("strong", {}, model.get("name")), make("code", {}, model.get("app")), state,
      make("span", { class: "fsts-buttons" },
        button("Start", "start", (now) => now === "stopped"),
        button("Stop", "stop", runs),
        button("Restart", "restart", (now) => runs(now) || now === "stopped"),
        button("Kill a worker", "kill", (now) => runs(now) && !model.get("in_kernel")))),
    notice,
  ];
}

// Method, path, body; Enter sends. The kernel sends it, not the browser: straight to the
// server, without the proxy's headers and cookies.
function requestBox(model, changes) {
  const methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
  const method = make("select", { class: "fsts-method" }, ...methods.map((m) => make("option", {}, m)));
  const path = make("input", { class: "fsts-path", value: "/", spellcheck: "false" });
  const body = make("textarea", { class: "fsts-body", rows: 1, spellcheck: "false" });
  const send = () =>
    model.send({ do: "send", method: method.value, path: path.value, body: body.value });
  const button = make("button", { type: "button", class: "fsts-send", onclick: send }, "Send");
  // Not a <form>: its default action would leave the notebook.
  const box = make("div", { class: "fsts-request", role: "group", "aria-label": "Request" },
    labelled("Method", method), labelled("Path", path, "fsts-wide"),
    labelled("Body", body, "fsts-wide"),
    button);
  changes("state", () => { button.disabled = model.get("state") !== "running"; });
  for (const field of [path, body]) {
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      event.stopPropagation();
      if (!button.disabled) send();
    });
  }
  const status = make("div", { class: "fsts-status", role: "status", "aria-live": "polite" });
  const headers = make("pre", { class: "fsts-headers", tabindex: 0, "aria-label": "Response headers" });
  const answer = make("pre", { class: "fsts-answer", tabindex: 0, "aria-label": "Response body" });
  const response = make("div", { class: "fsts-response" }, status, headers, answer);
  changes("answer", () => {
    const got = model.get("answer");
    response.hidden = !got.status;
    if (!got.status) return;
    setText(status, got.status);
    setText(headers, got.headers.map(([name, value]) => `${name}: ${value}`).join("\n"));
    setText(answer, got.body);
    answer.hidden = !got.body;
  });
  return part("Request", "fsts-request-part", box, response);
}

function page(model, changes) {
  const frame = make("iframe", { class: "fsts-page", title: `The page that ${model.get("name")} serves` });
  const link = make("a", { class: "fsts-open", target: "_blank", rel: "noopener" }, "Open in a new tab");
  const reload = make("button", { type: "button", class: "fsts-reload", onclick: () => show(true) }, "Reload");
  const off = make("p", { class: "fsts-off" }, "The server does not run.");
  let shows = "";
  function show(again) {
    const runs = model.get("state") === "running";
    const url = pageUrl(model.get("port"), "/");
    for (const element of [frame, link, reload]) element.hidden = !runs;
    off.hidden = runs;
    link.href = url;
    if (!runs) shows = "";
    else if (again || shows !== url) frame.src = shows = url;
  }
  changes("state", () => show(false));
  changes("port", () => show(false));
  return part("Page", "fsts-page-part", make("div", { class: "fsts-row" }, link, reload), frame, off);
}

function workerTable(model, changes) {
  const head = ["Role", "Process", "CPU %", "Memory MiB"];
  const rows = make("tbody");
  // A child stands below its parent, one step to the right.
  const who = (row) => make("td", { style: `padding-left: ${1.1 * row.depth}em` },
    ...(row.depth ? [make("span", { "aria-hidden": "true" }, "\u2514 ")] : []), row.role);
  changes("workers", () => {
    rows.replaceChildren(...model.get("workers").map((row) => make("tr", {}, who(row),
      ...[row.pid, row.cpu, row.memory].map((cell) => make("td", {}, String(cell))))));
  });
  return part("Processes", "fsts-workers-part", make("table", { class: "fsts-workers" },
    make("caption", {}, "Processes of the server"),
    make("thead", {}, make("tr", {}, ...head.map((title) => make("th", { scope: "col" }, title)))), rows),
  signalButtons(model, changes));
}

// One button for each signal that the master understands, with what it asks for.
function signalButtons(model, changes) {
  const list = make("div", { class: "fsts-signals", role: "group", "aria-label": "Signals to the master" });
  const box = make("div", {}, make("p", {}, "Send the master a signal:"), list);
  const draw = () => {
    const signals = Object.entries(model.get("signals"));
    const runs = model.get("state") === "running";
    box.hidden = !runs || !signals.length;
    const shown = signals.map(([name]) => name).join();
    if (list.dataset.shown === shown) return;  // or the one in focus would lose it
    list.dataset.shown = shown;
    list.replaceChildren(...signals.map(([name, does]) => make("button", {
      type: "button", title: does, "aria-label": `${name}: ${does}`,
      onclick: () => model.send({ do: "signal", name }),
    }, name)));
  };
  changes("signals", draw);
  changes("state", draw);
  return box;
}

function logTail(model, changes) {
  const log = make("pre", { class: "fsts-log", tabindex: 0, role: "log", "aria-live": "off", "aria-label": "Log" });
  changes("log_tail", () => {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 30;
    setText(log, model.get("log_tail") || "(nothing yet)");
    if (atEnd) log.scrollTop = log.scrollHeight;
  });
  return part("Log", "fsts-log-part", log);
}

function renderLink(model, el) {
  const url = pageUrl(model.get("port"), model.get("path"));
  el.append(make("a", { class: "fsts-link", href: url, target: "_blank", rel: "noopener" },
    `Open ${model.get("path")} in a new tab`));
}

// A conversation over WebSocket: what is said by whom, and how it ended.
function renderChat(model, el) {
  const url = new URL(pageUrl(model.get("port"), model.get("path")), location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const { state, log, frame, say } = talk(model, "Chat", "WebSocket");
  const text = make("input", { class: "fsts-say", "aria-label": "Message", autocomplete: "off" });
  const send = make("button", { type: "button", class: "fsts-send" }, "Send");
  const again = make("button", { type: "button", class: "fsts-again" });
  let socket = null;
  const open = () => {
    setText(state, "connecting");
    socket = new WebSocket(url);
    socket.onopen = draw;
    socket.onmessage = (event) => say(event.data instanceof Blob ? `${event.data.size} bytes` : event.data);
    socket.onclose = (event) => { say(`closed with code ${event.code} ${event.reason}`.trim(), "fsts-dim"); draw(); };
  };
  const draw = () => {
    const opened = socket.readyState === WebSocket.OPEN;
    setText(state, opened ? "connected" : "closed");
    state.dataset.state = opened ? "running" : "";
    text.disabled = send.disabled = !opened;
    setText(again, opened ? "Leave" : "Join again");
  };
  const speak = () => {
    if (send.disabled || !text.value) return;
    socket.send(text.value);
    text.value = "";
  };
  send.onclick = speak;
  again.onclick = () => (socket.readyState === WebSocket.OPEN ? socket.close(1000) : open());
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    event.stopPropagation();
    speak();
  });
  open();
  draw();
  setText(state, "connecting");
  frame.append(log, make("div", { class: "fsts-row fsts-speak" }, text, send, again));
  el.append(frame);
  return () => socket.close(1000);
}

// A stream of events: how many have come, and the last of them.
function renderStream(model, el) {
  const url = pageUrl(model.get("port"), model.get("path"));
  const { state, log, frame, say } = talk(model, "Stream", "server-sent events");
  const count = make("strong", { class: "fsts-count" }, "0 events");
  const again = make("button", { type: "button", class: "fsts-again" });
  let source = null;
  let seen = 0;
  const draw = () => {
    const opened = source.readyState === EventSource.OPEN;
    setText(state, ["connecting", "connected", "closed"][source.readyState]);
    state.dataset.state = opened ? "running" : "";
    setText(again, source.readyState === EventSource.CLOSED ? "Listen again" : "Leave");
  };
  const open = () => {
    source = new EventSource(url);
    source.onopen = draw;
    source.onerror = draw;  // the browser connects again by itself, unless the answer was no stream
    source.onmessage = (event) => {
      seen += 1;
      setText(count, seen === 1 ? "1 event" : `${seen} events`);
      say(event.lastEventId ? `${event.lastEventId}: ${event.data}` : event.data);
    };
    draw();
  };
  again.onclick = () => {
    if (source.readyState === EventSource.CLOSED) return open();
    source.close();
    draw();
  };
  open();
  frame.append(log, make("div", { class: "fsts-row fsts-speak" }, count, again));
  el.append(frame);
  return () => source.close();
}

// What both have: a bar with the state, and a log of what came; it keeps the last 200 lines.
function talk(model, kind, what) {
  const state = make("span", { class: "fsts-state", role: "status", "aria-live": "polite" });
  const log = make("div", { class: "fsts-talk", role: "log", tabindex: 0, "aria-label": "What was heard" });
  const frame = make("section",
    { class: "fsts-panel", "aria-label": `${kind} ${model.get("path")}`, "data-lm-suppress-shortcuts": "true" },
    make("div", { class: "fsts-bar" }, make("strong", {}, kind), make("code", {}, model.get("path")),
      make("span", {}, what), state));
  const say = (text, css = "") => {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 30;
    log.append(make("p", css ? { class: css } : {}, text));
    while (log.children.length > 200) log.firstChild.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
  };
  return { state, log, frame, say };
}

function render({ model, el }) {
  const views = { link: renderLink, chat: renderChat, stream: renderStream };
  const view = views[model.get("view")];
  if (view) return view(model, el);
  const undo = [];
  const changes = (name, draw) => {
    model.on(`change:${name}`, draw);
    undo.push(() => model.off(`change:${name}`, draw));
    draw();
  };
  el.append(make("section",
    // Lab's shortcuts would take Enter and letters away from buttons and fields.
    { class: "fsts-panel", "aria-label": `Server ${model.get("name")}`, "data-lm-suppress-shortcuts": "true" },
    ...toolbar(model, changes), requestBox(model, changes), page(model, changes),
    make("div", { class: "fsts-columns" }, workerTable(model, changes), logTail(model, changes))));
  model.send({ do: "watch" });
  return () => undo.forEach((step) => step());
}

export default { render };
