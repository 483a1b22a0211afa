"use strict";
// Keeps the page up to date while it is visible, and asks before it pauses a run. Without it everything works too.

const main = document.getElementById("main");
const link = document.getElementById("link");
const said = document.getElementById("said");
const SAY_EVERY_MS = 10000;
let source = null;
let words = "";
let saidAt = 0;

function put(id, html) {
  const region = document.getElementById(id);
  if (region === null) return;
  const open = [...region.querySelectorAll("details[open]")].map((each) => each.id);
  const held = region.contains(document.activeElement) ? document.activeElement : null;
  const link = held === null ? null : held.getAttribute("href");
  region.innerHTML = html;
  for (const id of open) {
    const details = document.getElementById(id);
    if (details !== null) details.open = true;
  }
  if (held !== null) {
    // Whoever works with the keyboard stays where they were, or as near to it as there is anything.
    const same = [...region.querySelectorAll("a, button, summary")];
    const next = same.find((each) => (held.id && each.id === held.id) || (link && each.getAttribute("href") === link));
    (next || same.find((each) => each.tagName === held.tagName) || main).focus({ preventScroll: true });
  }
}

function say() {
  if (words && words !== said.textContent && Date.now() - saidAt >= SAY_EVERY_MS) {
    said.textContent = words;
    saidAt = Date.now();
  }
}

function connected(yes) {
  link.hidden = yes;
  link.textContent = yes ? "" : "No connection; the figures are not current.";
}

function listen() {
  source = new EventSource(main.dataset.updates);
  source.onopen = () => connected(true);
  source.onerror = () => {
    connected(false);
    if (source !== null && source.readyState === EventSource.CLOSED) {
      source = null;
      setTimeout(watch, 5000); // refused, perhaps for a moment; the browser itself tries again only where it was cut off
    }
  };
  source.onmessage = (event) => {
    const news = JSON.parse(event.data);
    for (const [id, html] of Object.entries(news.regions)) put(id, html);
    words = news.said;
    say();
  };
}

// A browser keeps six connections to a server: pages that nobody looks at leave theirs to the others.
function watch() {
  if (document.hidden) {
    if (source !== null) source.close();
    source = null;
  } else if (source === null) {
    listen();
  }
}

const ask = document.getElementById("ask");
if (ask !== null && typeof ask.showModal === "function") {
  document.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (button === null || button.dataset.ask === undefined) return;
    event.preventDefault();
    document.getElementById("ask-title").textContent = button.dataset.ask;
    document.getElementById("ask-text").textContent = button.dataset.text;
    document.getElementById("ask-yes").textContent = button.dataset.yes;
    ask.querySelector("form").action = event.target.action;
    ask.showModal();
  });
  document.getElementById("ask-no").addEventListener("click", () => ask.close());
}

document.addEventListener("visibilitychange", watch);
window.addEventListener("pagehide", () => { if (source !== null) { source.close(); source = null; } });
window.addEventListener("pageshow", watch);
setInterval(say, 1000);
watch();
