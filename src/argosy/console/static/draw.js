// Draws a finished view: places, curves, colours and texts come from the server.

import { fitText, keyed, set, svg, textWidth } from "./dom.js";

const layer = (id) => document.getElementById(id);
export const FINDINGS = "findings"; // What is chosen when the list of findings is shown.
export const edgeKey = (edge) => `${edge.source}\u0000${edge.target}\u0000${edge.protocol}`;

export function draw(view, chosen, choose) {
  const near = neighbourhood(view, chosen);
  keyed(layer("boxes"), view.boxes, (box) => box.id, makeBox, updateBox);
  keyed(layer("edges"), view.edges, edgeKey, (edge) => makeEdge(edge, choose), (element, edge) => updateEdge(element, edge, chosen, near));
  keyed(layer("nodes"), view.nodes, (node) => node.id, (node) => makeNode(node, choose), (element, node) => updateNode(element, node, chosen, near));
  keyed(layer("labels"), view.edges, edgeKey, (edge) => makeLabel(edge, choose), (element, edge) => updateLabel(element, edge, chosen, near));
}

// What stays bright while something is chosen: null means everything.
function neighbourhood(view, chosen) {
  if (!chosen || chosen === FINDINGS) return null;
  const near = new Set([chosen]);
  for (const edge of view.edges) {
    const key = edgeKey(edge);
    if (key === chosen || edge.source === chosen || edge.target === chosen) near.add(key).add(edge.source).add(edge.target);
  }
  return near;
}

function makeBox() {
  return svg("g", { class: "box" }, svg("rect", { rx: 14 }), svg("text", { x: 14, y: 20 }));
}

function updateBox(element, box) {
  set(element, { transform: `translate(${box.x},${box.y})`, "data-test": box.test });
  set(element.children[0], { width: box.width, height: box.height });
  element.children[1].textContent = box.title;
}

function makeNode(node, choose) {
  const element = svg("g", { tabindex: 0, role: "button" });
  element.addEventListener("click", () => choose(node.id));
  element.addEventListener("keydown", (event) => event.key === "Enter" && choose(node.id));
  return element;
}

function updateNode(element, node, chosen, near) {
  element.style.transform = `translate(${node.x}px, ${node.y}px)`;
  const dim = near && !near.has(node.id) ? " dimmed" : "";
  set(element, {
    class: `node ${node.kind} ${node.health}${node.id === chosen ? " chosen" : ""}${dim}`,
    "data-test": node.test, "data-health": node.health, "data-rps": node.rps_in, "data-namespace": node.namespace, "data-kind": node.kind,
    "data-badges": node.badges?.map((badge) => badge.text).join(" "), "data-findings": node.findings?.map((finding) => finding.code).join(" "),
    "aria-label": `${node.title} ${node.version}, ${node.health}`,
  });
  const chips = [];
  let [upper, lower] = [node.width - 12, node.width - 12];
  if (node.version) upper = addChip(chips, node.version, upper, 10, "chip");
  if (node.workload && !node.sidecar) lower = addChip(chips, "no sidecar", lower, 33, "chip warn");
  const errors = node.error_rate >= 0.001 ? `${percent(node.error_rate)} errors` : "";
  if (errors) lower -= textWidth(errors, "600 12px") + 10;
  element.replaceChildren(
    svg("title", {}, node.why || `${node.workload || node.title} in ${node.namespace || "no namespace"}`),
    svg("rect", { class: "card", width: node.width, height: node.height, rx: 12 }),
    svg("rect", { class: "health", x: 0, y: 14, width: 4, height: node.height - 28, rx: 2 }),
    svg("use", { class: "icon", href: `#kind-${node.kind}`, x: 14, y: 11, width: 17, height: 17 }),
    svg("text", { class: "title", x: 38, y: 24.5 }, fitText(node.title, upper - 40, "620 14px")),
    svg("text", { class: "detail", x: 14, y: 46 }, fitText(node.detail, lower - 14, "12px"),
      ...(errors ? [svg("tspan", { class: "bad", dx: 8 }, errors)] : [])),
    ...chips,
    ...badges(node),
  );
}

// Over the upper edge of the card: which objects rule the node, and how many findings there are about them.
function badges(node) {
  const found = [];
  let right = node.width - 12; // On the left a box has its title.
  if (node.findings?.length) {
    const worst = node.findings[0].level;
    const told = node.findings.map((finding) => `${finding.level} ${finding.code}: ${finding.message}`).join("\n");
    right = addBadge(found, `${worst === "info" ? "i" : "!"} ${node.findings.length}`, told, right, worst);
  }
  for (const badge of (node.badges || []).toReversed()) right = addBadge(found, badge.text, badge.title, right, badge.text);
  return found;
}

function addBadge(found, text, title, right, kind) {
  const width = textWidth(text, "700 10px") + 10;
  found.push(svg("g", { class: `badge ${kind}`, transform: `translate(${right - width},-8)`, "data-test": `badge:${kind}` },
    svg("title", {}, title), svg("rect", { width, height: 16, rx: 5 }), svg("text", { x: 5, y: 11.6 }, text)));
  return right - width - 4;
}

// A small label that ends at `right`; gives where the next one may end.
function addChip(chips, text, right, y, kind) {
  const shown = fitText(text, 96, "650 11px");
  const width = textWidth(shown, "650 11px") + 14;
  chips.push(svg("g", { class: kind, transform: `translate(${right - width},${y})` },
    svg("rect", { width, height: 18, rx: 6 }), svg("text", { x: 7, y: 13 }, shown)));
  return right - width - 5;
}

function makeEdge(edge, choose) {
  const element = svg("g", {}, svg("path", { class: "hit" }), svg("path", { class: "line", "marker-end": "url(#arrow)" }), svg("path", { class: "flow" }));
  element.addEventListener("click", () => choose(edgeKey(edge)));
  return element;
}

function updateEdge(element, edge, chosen, near) {
  const key = edgeKey(edge);
  const dim = near && !near.has(key) ? " dimmed" : "";
  set(element, {
    class: `edge ${edge.protocol} ${edge.health}${edge.plaintext ? " plaintext" : ""}${key === chosen ? " chosen" : ""}${dim}`,
    "data-test": edge.test, "data-rps": edge.rps, "data-mtls": edge.mtls ?? "unknown", "data-error-rate": edge.error_rate,
    "data-protocol": edge.protocol, "data-health": edge.health,
  });
  for (const path of element.children) set(path, { d: edge.path });
  set(element.children[1], { "stroke-width": Math.min(1.8 + Math.log10(1 + edge.rps) * 1.1, 5).toFixed(1) });
  // Faster dots for more traffic, on a scale that stays readable; coarse, so that small changes do not restart them.
  const pace = edge.rps || edge.sent_bps / 1000;
  const flow = element.children[2];
  flow.style.display = pace > 0 ? "" : "none";
  flow.style.animationDuration = `${Math.max(0.6, 2.6 - Math.round(Math.log10(1 + pace) * 2) / 2)}s`;
}

function makeLabel(edge, choose) {
  const element = svg("g", { class: "label" });
  element.addEventListener("click", () => choose(edgeKey(edge)));
  return element;
}

function updateLabel(element, edge, chosen, near) {
  const key = edgeKey(edge);
  const dim = near && !near.has(key) ? " dimmed" : "";
  const lock = edge.mtls === null ? null : edge.plaintext ? "lock-open" : "lock-closed";
  const rate = textWidth(edge.label, "650 11.5px");
  const sub = edge.sublabel ? textWidth(edge.sublabel, edge.error_rate ? "600 11.5px" : "11.5px") + 8 : 0;
  const width = rate + sub + 18 + (lock ? 15 : 0);
  set(element, {
    class: `label${edge.plaintext ? " plaintext" : ""}${key === chosen ? " chosen" : ""}${dim}`,
    transform: `translate(${edge.label_x - width / 2},${edge.label_y - 12})`,
    "data-test": edge.test.replace("edge:", "label:"),
  });
  const start = lock ? 25 : 9;
  element.replaceChildren(
    svg("rect", { width, height: 24, rx: 12 }),
    ...(lock ? [svg("use", { class: "lock", href: `#${lock}`, x: 9, y: 5.5, width: 11, height: 13, "data-test": `lock:${edge.plaintext ? "open" : "closed"}` })] : []),
    svg("text", { class: "rate", x: start, y: 16.2 }, edge.label),
    svg("text", { class: edge.error_rate ? "sub bad" : "sub", x: start + rate + 8, y: 16.2 }, edge.sublabel),
  );
}

export function percent(share) {
  const value = share * 100;
  return value > 0 && value < 1 ? "<1 %" : `${Math.round(value)} %`;
}
