// The side panel: all that is known of the chosen node or edge.

import { html, icon } from "./dom.js";
import { FINDINGS, edgeKey, percent } from "./draw.js";

export function showPanel(panel, view, chosen, choose) {
  const edge = view.edges.find((candidate) => edgeKey(candidate) === chosen);
  const node = view.nodes.find((candidate) => candidate.id === chosen);
  const listed = chosen === FINDINGS && view.findings;
  panel.hidden = !edge && !node && !listed;
  if (edge) panel.replaceChildren(...edgePanel(edge, view, choose));
  else if (node) panel.replaceChildren(...nodePanel(node, view, choose));
  else if (listed) panel.replaceChildren(...findingsPanel(view, choose));
}

function head(title, subtitle, choose) {
  const close = html("button", { class: "close", type: "button", "aria-label": "Close", "data-test": "panel-close" }, "×");
  close.addEventListener("click", () => choose(null));
  return [html("header", {}, html("h2", { "data-test": "panel-title" }, title), close), html("div", { class: "quiet" }, subtitle)];
}

const name = (node) => (node ? [node.title, node.version].filter(Boolean).join(" ") : "?");
const number = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));
const time = (value) => (value === null ? "–" : value >= 1000 ? `${(value / 1000).toFixed(2)} s` : value >= 10 ? `${value.toFixed(0)} ms` : `${value.toFixed(1)} ms`);

function bytes(value) {
  const units = ["B/s", "KiB/s", "MiB/s", "GiB/s"];
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024;
  return `${unit ? value.toFixed(1) : value.toFixed(0)} ${units[unit]}`;
}

function table(rows) {
  const body = rows.filter((row) => row[1] !== null).map(([what, value, test]) =>
    html("tr", {}, html("td", {}, what), html("td", test ? { "data-test": test } : {}, value)));
  return html("table", {}, html("tbody", {}, ...body));
}

function verdict(edge) {
  if (edge.mtls === null) return html("div", { class: "verdict none", "data-test": "panel-mtls" }, "Security unknown: no request reached a peer.");
  const text = edge.mtls === 1 ? "All traffic is under mutual TLS"
    : edge.mtls === 0 ? "Plaintext: neither encrypted nor authenticated"
      : `${percent(edge.mtls)} under mutual TLS, the rest in plaintext`;
  return html("div", { class: edge.plaintext ? "verdict warn" : "verdict", "data-test": "panel-mtls" },
    icon(edge.plaintext ? "lock-open" : "lock-closed", { viewBox: "0 0 12 14" }), html("span", {}, text));
}

function edgePanel(edge, view, choose) {
  const from = view.nodes.find((node) => node.id === edge.source);
  const to = view.nodes.find((node) => node.id === edge.target);
  const tcp = edge.protocol === "tcp";
  const parts = [
    ...head(`${name(from)} → ${name(to)}`, edge.protocol === "http" ? "HTTP" : edge.protocol === "grpc" ? "gRPC" : "TCP", choose),
    verdict(edge),
    ...edge.notes.map((note) => html("p", { class: "note", "data-test": "panel-note" }, note)),
    html("h3", {}, "Traffic"),
    table(tcp
      ? [["Sent to client", bytes(edge.sent_bps)], ["Received from client", bytes(edge.received_bps)], ["Connections", `${number(edge.connections_ps)}/s`], ["Refused, or reached nobody", percent(edge.error_rate), "panel-errors"]]
      : [
        ["Requests", `${number(edge.rps)}/s`, "panel-rps"], ["Errors", percent(edge.error_rate), "panel-errors"],
        ["Request bodies", bytes(edge.received_bps)], ["Response bodies", bytes(edge.sent_bps)],
        ["Counted by the caller", edge.rps_source === null ? "not reported" : `${number(edge.rps_source)}/s`],
        ["Counted by the receiver", edge.rps_destination === null ? "not reported" : `${number(edge.rps_destination)}/s`],
      ]),
  ];
  if (edge.p50_ms !== null) parts.push(html("h3", {}, "Latency"), table([["Median", time(edge.p50_ms), "panel-p50"], ["p95", time(edge.p95_ms), "panel-p95"], ["p99", time(edge.p99_ms), "panel-p99"]]));
  if (edge.codes.length) parts.push(html("h3", {}, "How requests ended"), codes(edge));
  if (edge.services.length) parts.push(html("h3", {}, "Called as"), ...edge.services.map((host) => html("div", {}, html("code", {}, host))));
  return parts;
}

function codes(edge) {
  const rows = edge.codes.map((code) => {
    const failed = code.code === "0" || code.code.startsWith("5") || !["", "0"].includes(code.grpc);
    const kind = failed ? "bad" : code.code.startsWith("4") ? "client" : "";
    const bar = html("i");
    bar.style.width = `${(100 * code.rps) / edge.rps}%`;
    const what = [code.code === "0" ? "no response" : code.code, code.grpc && `gRPC ${code.grpc}`, code.flags !== "-" && code.flags].filter(Boolean).join(" · ");
    return html("tr", { "data-test": `code:${code.code}` }, html("td", {}, what, html("div", { class: `meter ${kind}` }, bar)), html("td", {}, `${number(code.rps)}/s`));
  });
  return html("table", {}, html("tbody", {}, ...rows));
}

function findingsPanel(view, choose) {
  const empty = html("p", { class: "quiet" }, "Nothing is wrong with what is in force.");
  return [
    ...head("Findings", `Configuration revision ${view.revision}`, choose),
    ...(view.findings.length ? view.findings.map((finding) => findingItem(finding, view, choose)) : [empty]),
  ];
}

// What is wrong, where it stands, what to do; the object leads to the first node that it is about.
function findingItem(finding, view, choose) {
  const node = (finding.nodes || []).find((id) => view.nodes.some((candidate) => candidate.id === id));
  const subject = node ? html("button", { type: "button", class: "subject" }, finding.object) : html("span", { class: "subject" }, finding.object);
  if (node) subject.addEventListener("click", () => choose(node));
  const where = [finding.origin, finding.field].filter(Boolean).join(" · ");
  return html("div", { class: `finding ${finding.level}`, "data-test": `finding:${finding.code}`, "data-level": finding.level, "data-object": finding.object, "data-origin": finding.origin },
    html("div", { class: "kind" }, html("span", { class: "level" }, finding.level), html("code", {}, finding.code)),
    ...(finding.object ? [subject] : []),
    html("div", {}, finding.message),
    ...(where ? [html("div", { class: "where" }, where)] : []),
    ...(finding.hint ? [html("div", { class: "hint" }, `Hint: ${finding.hint}`)] : []));
}

// The objects that rule a node, and what is wrong with them.
function configured(node, view, choose) {
  if (!node.settings || !(node.settings.length + node.findings.length)) return [];
  return [
    html("h3", {}, "Configuration"),
    ...node.findings.map((finding) => findingItem(finding, view, choose)),
    ...node.settings.map((setting) => html("div", { class: "setting", "data-test": `setting:${setting.object}` },
      html("div", { class: "subject" }, setting.object),
      ...(setting.says ? [html("div", {}, setting.says)] : []),
      ...(setting.origin ? [html("div", { class: "where" }, setting.origin)] : []))),
  ];
}

const KINDS = { app: "Workload", gateway: "Gateway", service: "Service", external: "External host", passthrough: "Unknown hosts", blackhole: "Refused", unknown: "Unknown peer" };

function nodePanel(node, view, choose) {
  const list = (title, edges, other) => {
    if (!edges.length) return [];
    const rows = edges.map((edge) => {
      const row = html("tr", { class: "link", tabindex: 0 }, html("td", {}, name(view.nodes.find((candidate) => candidate.id === other(edge)))), html("td", {}, edge.label));
      row.addEventListener("click", () => choose(edgeKey(edge)));
      row.addEventListener("keydown", (event) => event.key === "Enter" && choose(edgeKey(edge)));
      return row;
    });
    return [html("h3", {}, title), html("table", {}, html("tbody", {}, ...rows))];
  };
  return [
    ...head(name(node), `${KINDS[node.kind]}${node.namespace ? ` in ${node.namespace}` : ""}`, choose),
    ...(node.why ? [html("p", { class: "note", "data-test": "panel-note" }, node.why)] : []),
    html("h3", {}, "Traffic"),
    table([
      ["Workload", node.workload || null], ["Requests in", `${number(node.rps_in)}/s`], ["Requests out", `${number(node.rps_out)}/s`],
      ["Errors", percent(node.error_rate), "panel-errors"], ["Sidecar", node.workload ? (node.sidecar ? "yes" : "no") : null],
    ]),
    ...configured(node, view, choose),
    ...list("Called by", view.edges.filter((edge) => edge.target === node.id), (edge) => edge.source),
    ...list("Calls", view.edges.filter((edge) => edge.source === node.id), (edge) => edge.target),
  ];
}
