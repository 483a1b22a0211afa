// Fetches this page again and exchanges the figures; open parts stay open, and a pause is kept.
const main = document.getElementById("main"), said = document.getElementById("said");
const button = document.getElementById("pause");
let paused = false;
const say = (text) => { if (said.textContent !== text) said.textContent = text; };
async function refresh() {
  if (paused || document.hidden) return;
  try {
    const answer = await fetch("/", { cache: "no-store" });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
    if (paused || !answer.ok || !fresh) return;
    const open = [...main.querySelectorAll("details[open]")].map((part) => part.id);
    const focused = main.contains(document.activeElement) ? document.activeElement.id : "";
    main.replaceChildren(...fresh.childNodes);
    open.forEach((id) => { const part = document.getElementById(id); if (part) part.open = true; });
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    say("Updated every 2 seconds.");
  } catch {
    say("The simulator does not answer; these figures are the last ones.");
  }
}
button.hidden = false;
button.addEventListener("click", () => {
  paused = !paused;
  button.setAttribute("aria-pressed", String(paused));
  say(paused ? "Updates are paused." : "Updated every 2 seconds.");
  refresh();
});
setInterval(refresh, 2000);
