// Text from a model or an article as DOM nodes. Every word goes in as text: nothing in it can become an element.

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// Paragraphs, lists, tables and **bold**: what help articles are made of.
export function paragraphs(text) {
  return text.split(/\n\s*\n/).flatMap((block) => blocks(block.split("\n")));
}

function blocks(lines) {
  const made = [];
  let run = [];
  let kind = "";
  const flush = () => {
    if (run.length) made.push(block(kind, run));
    run = [];
  };
  for (const line of lines) {
    const next = /^\s*\|/.test(line) ? "table" : /^\s*[-*] /.test(line) ? "ul" : /^\s*\d+\. /.test(line) ? "ol" : "p";
    if (next !== kind) flush();
    kind = next;
    run.push(line);
  }
  flush();
  return made;
}

function block(kind, lines) {
  if (kind === "table") return table(lines);
  if (kind === "p") return element("p", {}, ...inline(lines.join("\n")));
  const start = kind === "ol" ? Number.parseInt(lines[0], 10) : undefined;
  return element(kind, { start }, ...lines.map((line) => element("li", {}, ...inline(line.replace(/^\s*(?:[-*]|\d+\.) /, "")))));
}

function table(lines) {
  const rows = lines.filter((line) => !/^[\s|:-]+$/.test(line)).map((line) => line.trim().replace(/^\||\|$/g, "").split("|"));
  const cells = (row, name) => element("tr", {}, ...row.map((cell) => element(name, {}, ...inline(cell.trim()))));
  const [head, ...body] = rows;
  if (!head) return element("p");
  return element("table", {}, element("thead", {}, cells(head, "th")), element("tbody", {}, ...body.map((row) => cells(row, "td"))));
}

function inline(text) {
  return text.split(/\*\*([^*]+)\*\*/).map((part, at) => (at % 2 ? element("strong", {}, part) : part));
}

// A link for an address that is one, or nothing.
export function link(address, label) {
  let protocol;
  try {
    ({ protocol } = new URL(address));
  } catch {
    return null;
  }
  if (protocol !== "https:" && protocol !== "http:") return null;
  return element("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow" }, label);
}
