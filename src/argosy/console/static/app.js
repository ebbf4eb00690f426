// The console: asks for the view every two seconds, keeps what the user chose in the address, pans and zooms.

import { html } from "./dom.js";
import { FINDINGS, draw, edgeKey, percent } from "./draw.js";
import { showPanel } from "./panel.js";

const WINDOWS = [[30, "30s", "30 seconds"], [60, "1m", "minute"], [300, "5m", "5 minutes"], [600, "10m", "10 minutes"]];
const TYPES = ["versionedApp", "app", "workload", "service"];
const REFRESH_MS = 2000;
const MARGIN = 36;
const at = (id) => document.getElementById(id);

const state = { view: null, chosen: null, seen: 0, fitted: true, shape: "", x: 0, y: 0, scale: 1, asked: 0 };
const options = readOptions();

function readOptions() {
  const given = new URLSearchParams(location.hash.slice(1));
  const wanted = Number(given.get("window"));
  return {
    window: WINDOWS.some(([seconds]) => seconds === wanted) ? wanted : 60,
    namespaces: new Set((given.get("namespaces") || "").split(",").filter(Boolean)),
    services: given.get("services") === "1",
    type: TYPES.includes(given.get("type")) ? given.get("type") : TYPES[0],
    at: Number(given.get("at")) || 0, // Seconds since 1970; 0: now, as it changes.
    show: given.get("show") || "", // What is chosen, by its test name: a link can point to an edge.
  };
}

function query() {
  const params = new URLSearchParams({ window: options.window });
  if (options.namespaces.size) params.set("namespaces", [...options.namespaces].sort().join(","));
  if (options.services) params.set("services", "1");
  if (options.type !== TYPES[0]) params.set("type", options.type);
  if (options.at) params.set("at", options.at);
  return params;
}

function remember() {
  const params = query();
  if (options.show) params.set("show", options.show);
  history.replaceState(null, "", `#${params}`);
}

function changed() {
  remember();
  state.fitted = true;
  refresh();
}

async function refresh() {
  const asked = ++state.asked;
  try {
    const response = await fetch(`api/graph?${query()}`, { signal: AbortSignal.timeout(5000) });
    if (!response.ok && response.status !== 404) throw new Error(`it answered ${response.status}`);
    const view = await response.json();
    if (asked !== state.asked) return; // A newer question is on its way.
    if (!response.ok) return unknown(view);
    state.view = view;
    state.seen = Date.now();
    document.body.classList.remove("stale");
    at("banner").hidden = true;
    show();
  } catch (error) {
    if (asked === state.asked) away(error);
  }
}

// Nothing is kept of that time: what was shown before says nothing about it.
function unknown(answer) {
  at("banner").textContent = answer.hint ? `${answer.error}: ${answer.hint}.` : answer.error;
  at("banner").hidden = false;
  document.body.classList.add("stale");
}

function away(error) {
  const seconds = state.seen ? Math.round((Date.now() - state.seen) / 1000) : 0;
  at("banner").textContent = state.seen
    ? `The control plane does not answer (${error.message}). Showing what was known ${seconds} s ago; traffic flows on without it.`
    : `The control plane does not answer (${error.message}). Is the mesh up? Try “argosy check”.`;
  at("banner").hidden = false;
  document.body.classList.add("stale");
}

function choose(key) {
  state.chosen = state.chosen === key ? null : key;
  options.show = state.chosen === FINDINGS ? FINDINGS : shown(state.view)?.test || "";
  remember();
  show();
}

function shown(view) {
  return view.nodes.find((node) => node.id === state.chosen) || view.edges.find((edge) => edgeKey(edge) === state.chosen);
}

// A link may name what to show; it is kept while that has no traffic, and found again when it has.
function chooseAsLinked(view) {
  if (!options.show || shown(view)) return;
  if (options.show === FINDINGS) return void (state.chosen = FINDINGS);
  const node = view.nodes.find((candidate) => candidate.test === options.show);
  const edge = view.edges.find((candidate) => candidate.test === options.show);
  state.chosen = node ? node.id : edge ? edgeKey(edge) : null;
}

function show() {
  const view = state.view;
  chooseAsLinked(view);
  at("empty").hidden = view.nodes.length > 0;
  at("past").textContent = view.past ? pastText(view.past) : "";
  at("past").hidden = !view.past;
  at("empty-window").textContent = view.past ? "then" : `in the last ${WINDOWS.find(([seconds]) => seconds === options.window)[2]}`;
  draw(view, state.chosen, choose);
  showPanel(at("panel"), view, state.chosen, choose);
  showTotals(view.totals);
  showFindings(view);
  showNamespaces(view.namespaces);
  const shape = `${view.width}x${view.height}/${at("panel").hidden}`;
  if (state.fitted && shape !== state.shape) fit();
  state.shape = shape;
}

function pastText(past) {
  const [start, end] = [past.start, past.end].map((seconds) => new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }));
  const watched = past.watched_s < past.end - past.start - 2 ? `, watched for ${Math.round(past.watched_s)} s` : "";
  return `${start} to ${end}${watched}, ${past.revision === null ? "revision unknown" : `configuration revision ${past.revision}`}`;
}

function showTime() {
  at("live").hidden = !options.at;
  // The field speaks of this place's time, without a zone.
  const local = new Date((options.at - new Date(options.at * 1000).getTimezoneOffset() * 60) * 1000);
  at("at").value = options.at ? local.toISOString().slice(0, 16) : "";
}

function showTotals(totals) {
  const quiet = totals.edges === 0;
  at("total-rps").textContent = quiet ? "–" : `${totals.rps.toFixed(totals.rps < 10 ? 1 : 0)} req/s`;
  const errors = at("total-errors");
  errors.textContent = quiet ? "–" : percent(totals.error_rate);
  errors.className = totals.error_rate >= 0.1 ? "bad" : totals.error_rate >= 0.001 ? "warn" : "";
  const mtls = at("total-mtls");
  const known = totals.mtls_edges + totals.plaintext_edges;
  mtls.textContent = known ? `${totals.mtls_edges} of ${known}` : "–";
  mtls.title = "Connections between workloads that are wholly under mutual TLS";
  mtls.className = !known ? "" : totals.plaintext_edges ? "warn" : "good";
}

// Of the past only traffic is known, and nothing at all while nobody tells.
function showFindings({ findings, unknown }) {
  const button = at("findings");
  button.hidden = !findings && !unknown;
  button.disabled = !findings;
  button.title = unknown || "What is wrong with the configuration";
  if (!findings) return void (button.textContent = "findings unknown");
  button.textContent = findings.length === 1 ? "1 finding" : `${findings.length} findings`;
  button.className = `plain ${findings[0]?.level || "none"}`;
  button.setAttribute("aria-pressed", state.chosen === FINDINGS);
}

function showNamespaces(names) {
  const list = at("namespaces");
  if (list.dataset.names !== names.join()) {
    list.dataset.names = names.join();
    list.replaceChildren(...names.map((name) => {
      const box = html("input", { type: "checkbox", "data-test": `namespace:${name}` });
      box.checked = options.namespaces.has(name);
      box.addEventListener("change", () => {
        if (box.checked) options.namespaces.add(name);
        else options.namespaces.delete(name);
        changed();
      });
      return html("label", {}, box, name);
    }));
  }
  const chosen = [...options.namespaces].sort();
  at("namespaces-label").textContent = !chosen.length ? "All namespaces" : chosen.length <= 2 ? chosen.join(", ") : `${chosen.length} namespaces`;
}

function place() {
  at("scene").setAttribute("transform", `translate(${state.x.toFixed(1)},${state.y.toFixed(1)}) scale(${state.scale.toFixed(4)})`);
}

function fit() {
  const { clientWidth: width, clientHeight: height } = at("canvas");
  const { width: wide, height: high } = state.view;
  if (!wide || !width) return;
  const margin = Math.min(MARGIN, width * 0.03); // Little is left of a phone's window.
  const panel = at("panel");
  const sheet = !panel.hidden && getComputedStyle(panel).position === "absolute" ? panel.offsetHeight : 0;
  const room = height - 2 * margin - Math.max(sheet, 40); // The legend lies over the lower edge, or the panel does.
  state.scale = Math.min((width - 2 * margin) / wide, room / high, 1.35);
  state.x = (width - wide * state.scale) / 2;
  state.y = margin + (room - high * state.scale) / 2;
  state.fitted = true;
  place();
}

function zoom(factor, x, y) {
  const scale = Math.min(Math.max(state.scale * factor, 0.1), 3);
  state.x = x - ((x - state.x) * scale) / state.scale;
  state.y = y - ((y - state.y) * scale) / state.scale;
  state.scale = scale;
  state.fitted = false;
  place();
}

function listen() {
  const canvas = at("canvas");
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const frame = canvas.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY * 0.0015), event.clientX - frame.left, event.clientY - frame.top);
  }, { passive: false });
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => { drag = { x: event.clientX, y: event.clientY, moved: false }; });
  window.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    if (!drag.moved && Math.hypot(dx, dy) < 4) return;
    Object.assign(drag, { x: event.clientX, y: event.clientY, moved: true });
    canvas.classList.add("dragging");
    state.x += dx;
    state.y += dy;
    state.fitted = false;
    place();
  });
  window.addEventListener("pointerup", (event) => {
    if (drag && !drag.moved && event.target === canvas && state.chosen) choose(state.chosen);
    drag = null;
    canvas.classList.remove("dragging");
  });
  window.addEventListener("resize", () => state.view && state.fitted && fit());
  window.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && state.chosen) choose(state.chosen);
    if (event.key === "f" && state.view && !event.ctrlKey && !event.metaKey) fit();
  });
  document.addEventListener("click", (event) => {
    if (!at("namespaces-menu").contains(event.target)) at("namespaces-menu").open = false;
  });
  at("findings").addEventListener("click", () => choose(FINDINGS));
  at("fit").addEventListener("click", () => state.view && fit());
  at("services").checked = options.services;
  at("services").addEventListener("change", (event) => { options.services = event.target.checked; changed(); });
  at("type").value = options.type;
  at("type").addEventListener("change", (event) => { options.type = event.target.value; changed(); });
  at("at").addEventListener("change", (event) => {
    options.at = event.target.value ? Math.floor(new Date(event.target.value).getTime() / 1000) : 0;
    showTime();
    changed();
  });
  at("live").addEventListener("click", () => { options.at = 0; showTime(); changed(); });
  document.addEventListener("visibilitychange", () => document.hidden || options.at || refresh());
}

function makeWindows() {
  at("windows").replaceChildren(...WINDOWS.map(([seconds, text]) => {
    const radio = html("input", { type: "radio", name: "window", value: seconds, "data-test": `window:${seconds}` });
    radio.checked = seconds === options.window;
    radio.addEventListener("change", () => { options.window = seconds; changed(); });
    return html("label", {}, radio, html("span", {}, text));
  }));
}

makeWindows();
listen();
showTime();
refresh();
setInterval(() => document.hidden || options.at || refresh(), REFRESH_MS);
