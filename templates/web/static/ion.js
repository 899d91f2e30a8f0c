// What a page does beyond links and forms: keys, copying, selecting. Without it everything still works.
"use strict";

const rows = () => Array.from(document.querySelectorAll("[data-row]"));
let current = -1;

function go(step) {
  const all = rows();
  if (!all.length) return;
  all[current]?.classList.remove("current");
  current = Math.max(0, Math.min(all.length - 1, current + step));
  all[current].classList.add("current");
  (all[current].querySelector("a") || all[current]).focus();
}

document.addEventListener("focusin", (event) => {
  const row = event.target.closest("[data-row]");
  if (!row) return;
  rows().forEach((one, number) => {
    one.classList.toggle("current", one === row);
    if (one === row) current = number;
  });
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input:not([type=checkbox]), textarea, select, dialog")) return;
  const row = rows()[current];
  switch (event.key) {
    case "/": {
      const search = document.querySelector("input[type=search]");
      if (!search) return;
      search.focus();
      search.select();
      break;
    }
    case "j": go(1); break;
    case "k": go(-1); break;
    case "o": row?.querySelector("a")?.click(); break;
    case "x": row?.querySelector("input[type=checkbox]")?.click(); break;
    case "?": document.getElementById("keys")?.showModal(); break;
    default: {
      // A page may name keys of its own: <a data-key="n">, <button data-key="a">.
      const named = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
      if (!named) return;
      named.click();
    }
  }
  event.preventDefault();
});

// <button data-copy="#id" data-copied="Copied">: copies the text of what it names.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const from = document.querySelector(button.dataset.copy);
  const text = from.dataset.text ?? from.value ?? from.innerText;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // No clipboard without TLS: the text is selected, to be copied by hand.
    const range = document.createRange();
    range.selectNodeContents(from);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    document.execCommand("copy");
  }
  const before = button.dataset.before ?? (button.dataset.before = button.textContent);
  button.textContent = button.dataset.copied;
  setTimeout(() => { button.textContent = before; }, 1500);
});

// <input type="checkbox" data-all="NAME"> selects all boxes of a name; [data-when-selected] is shown while some are.
function selectionChanged() {
  const boxes = Array.from(document.querySelectorAll("[data-row] input[type=checkbox]"));
  const chosen = boxes.filter((box) => box.checked).length;
  for (const shown of document.querySelectorAll("[data-when-selected]")) shown.hidden = chosen === 0;
  for (const shown of document.querySelectorAll("[data-when-none-selected]")) shown.hidden = chosen !== 0;
  for (const text of document.querySelectorAll("[data-selected-one]")) {
    const form = chosen === 1 ? text.dataset.selectedOne : text.dataset.selectedOther;
    text.textContent = form.replace("{count}", chosen);
  }
}
document.addEventListener("change", (event) => {
  const all = event.target.closest("[data-all]");
  if (all) {
    for (const box of document.querySelectorAll(`input[name="${CSS.escape(all.dataset.all)}"]`)) box.checked = all.checked;
  }
  const rows = Array.from(document.querySelectorAll("[data-row] input[type=checkbox]"));
  for (const one of document.querySelectorAll("[data-all]")) one.checked = rows.length > 0 && rows.every((box) => box.checked);
  selectionChanged();
});
// <form data-confirm="Sentence">: asked before it is sent.
document.addEventListener("submit", (event) => {
  const sentence = event.submitter?.dataset.confirm ?? event.target.dataset.confirm;
  if (sentence && !confirm(sentence)) event.preventDefault();
});
// <select data-submit>: sends its form when changed.
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
});
// A menu closes when something else is pressed.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener("DOMContentLoaded", () => {
  selectionChanged();
  // Where the menu is one line that scrolls, the page that it stands on is in sight.
  document.querySelector(".top nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
});
// <div id="..." data-refresh="10">: has every so many seconds what the server would show there now, while somebody can
// see it and is not at work in it; for an hour at most, so that a forgotten page keeps nobody signed in.
for (const shown of document.querySelectorAll("[data-refresh]")) {
  const { id } = shown, seconds = Number(shown.dataset.refresh);
  let left = 3600 / seconds;
  const timer = setInterval(async () => {
    if (--left < 0) clearInterval(timer);
    const old = document.getElementById(id);
    if (document.visibilityState !== "visible" || old.contains(document.activeElement) || old.querySelector("details[open]")) return;
    const answer = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
    if (!answer?.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(id);
    if (fresh && fresh.innerHTML !== old.innerHTML) old.innerHTML = fresh.innerHTML;
  }, seconds * 1000);
}
