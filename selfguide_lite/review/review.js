"use strict";
// One input at a time. Texts are put in as text, never as markup; every request stays below this page's own address.

const at = (id) => document.getElementById(id);
let queue = null; // what the server gave: ids, labels, order
let place = 0;
let item = null;
let ready = null; // the item after this one, asked for ahead
let mode = null; // what the editor is for: answer, input or noise
let busy = false;
const said = []; // verdicts of this page, newest last, with where they were given
const editing = { input: null };

async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  const response = await fetch(`api/${path}`, options);
  const told = await response.json();
  if (response.ok) return told;
  const problem = new Error(told.error || `status ${response.status}`);
  problem.status = response.status;
  throw problem;
}

function tell(text, wrong = false) {
  at("message").textContent = text;
  at("message").className = wrong ? "wrong" : "";
}

function visible(text) {
  // Control codes and direction overrides are shown as a mark: they must not hide or turn round what stands beside them.
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ufeff]/g, "\ufffd");
}

function count() {
  at("counter").textContent = `${Math.min(place + 1, queue.ids.length)} of ${queue.ids.length} · ${queue.done} reviewed`;
}

async function load(order) {
  const [name, reason] = (order || "").split("/");
  const asked = name ? `?order=${encodeURIComponent(name)}&reason=${encodeURIComponent(reason || "")}` : "";
  queue = await ask(`queue${asked}`);
  queue.name = order || queue.order;
  place = 0;
  ready = null;
  at("task").textContent = visible(queue.task);
  at("instruction").textContent = visible(queue.instruction);
  document.title = `${visible(queue.task)} - review`;
  const orders = [["doubt", "the least certain first"], ["disagreement", "asked for one label, answered another"],
    ["random", "at random"], ["dropped", "dropped by any filter"]];
  for (const [why, n] of Object.entries(queue.reasons)) orders.push([`dropped/${why}`, `dropped: ${why} (${n})`]);
  at("order").replaceChildren(...orders.map(([value, text]) => new Option(visible(text), value, false, value === queue.name)));
  const buttons = queue.labels.map((label, number) => {
    const button = document.createElement("button");
    if (number < 9) {
      const key = document.createElement("kbd");
      key.textContent = `${number + 1} `;
      button.append(key);
    }
    button.append(visible(label));
    button.addEventListener("click", () => answered(label));
    return button;
  });
  at("labels").replaceChildren(...buttons);
  await show();
}

async function show() {
  closeEditor();
  editing.input = null;
  while (place < queue.ids.length) {
    const id = queue.ids[place];
    item = await (ready && ready.id === id ? ready.item : ask(`item/${id}`));
    ready = null;
    if (item.review === null) break;
    place += 1; // judged in another tab, or by somebody else
  }
  count();
  if (place >= queue.ids.length) {
    item = null;
    at("item").hidden = true;
    tell("That was all. Choose another order, or close this page.");
    return;
  }
  at("item").hidden = false;
  at("text").textContent = visible(item.text);
  at("state").textContent = visible(state());
  const fields = item.fields.map(([name, value]) => `${name}: ${value}`).join("\n");
  at("answer").textContent = item.answer === null ? "none" : visible(fields ? `\n${fields}` : item.answer);
  at("shares").tBodies[0].replaceChildren(...item.shares.map(([answer, share]) => {
    const row = document.createElement("tr");
    for (const text of [visible(answer), `${(100 * share).toFixed(1)} %`]) {
      const cell = document.createElement("td");
      cell.dir = "auto";
      cell.textContent = text;
      row.append(cell);
    }
    return row;
  }));
  document.body.dataset.item = item.id;
  const next = queue.ids[place + 1];
  if (next !== undefined) {
    ready = { id: next, item: ask(`item/${next}`) };
    ready.item.catch(() => { ready = null; });
  }
}

function state() {
  const sure = item.confidence === null ? "" : `, ${(100 * item.confidence).toFixed(0)} % sure`;
  const asked = item.asked === null ? "" : `; asked for ${item.asked}`;
  const why = item.reason === null ? "kept" : `dropped: ${item.reason}${item.detail ? ` (${item.detail})` : ""}`;
  return `input ${item.id}: ${why}${sure}${asked}`;
}

async function say(verdict, more = {}) {
  if (busy || item === null) return;
  busy = true;
  try {
    const seen = item.review === null ? null : item.review.id;
    const told = await ask("say", { id: item.id, verdict, queue: queue.order, seen, ...more });
    said.push({ review: told.review, place, order: queue.name });
    queue.done = told.done;
    tell("");
    place += 1;
    await show();
  } catch (problem) {
    tell(problem.message, true);
    if (problem.status === 409) {
      place += 1;
      await show();
    }
  } finally {
    busy = false;
  }
}

async function undo() {
  if (busy || !said.length) return tell("There is nothing to undo.");
  busy = true;
  try {
    const last = said.pop();
    const told = await ask("undo", { review: last.review });
    if (last.order !== queue.name) await load(last.order);
    queue.done = told.done;
    place = last.place;
    ready = null;
    tell(told.undone ? "Undone." : "That was undone already.");
    await show();
  } catch (problem) {
    tell(problem.message, true);
  } finally {
    busy = false;
  }
}

function answered(label) {
  const more = editing.input === null ? {} : { input: editing.input };
  if (label === item?.answer && editing.input === null) say("accept");
  else say("edit", { answer: label, ...more });
}

function openEditor(what) {
  if (item === null) return;
  mode = what;
  at("editor").hidden = false;
  at("would-drop").textContent = "";
  at("editor-title").textContent = { answer: "The right answer", input: "The input as it should be",
    noise: "Reject all texts that contain" }[what];
  const chosen = String(document.getSelection()).trim();
  const fields = item.fields.map(([name, value]) => ` ${JSON.stringify(name)}: ${value}`).join(",\n");
  const answer = fields ? `{\n${fields}\n}` : item.answer || "";
  at("editor-text").value = { answer, input: editing.input ?? item.text, noise: chosen }[what];
  at("editor-text").focus();
}

function closeEditor() {
  mode = null;
  at("editor").hidden = true;
  at("editor-text").blur();
}

async function save() {
  const text = at("editor-text").value;
  if (mode === "noise") return noise(text);
  if (mode === "input") {
    if (item.answer !== null || !queue.labels.length) return say("edit", { input: text });
    editing.input = text;
    closeEditor();
    at("text").textContent = visible(text);
    return tell("Now choose the label.");
  }
  return say("edit", { answer: text });
}

async function noise(term) {
  const sure = at("would-drop").dataset.term === term;
  try {
    const told = await ask("noise", { term, add: sure });
    if (sure) {
      closeEditor();
      at("would-drop").dataset.term = "";
      return tell(`Added: ${told.texts} texts are dropped by it, ${told.pairs} of them pairs.`);
    }
    at("would-drop").dataset.term = term;
    at("would-drop").textContent = visible(`It would drop ${told.texts} more texts, ${told.pairs} of them pairs. Save again ` +
      `to add it.\n${told.examples.map((text) => `- ${text.slice(0, 200)}`).join("\n")}`);
  } catch (problem) {
    tell(problem.message, true);
  }
}

const actions = {
  a: () => say("accept"), r: () => say("reject"), s: () => say("skip"), u: undo,
  e: () => openEditor("answer"), i: () => openEditor("input"), n: () => openEditor("noise"),
};
const buttons = { accept: "a", reject: "r", skip: "s", undo: "u", "edit-answer": "e", "edit-input": "i", noise: "n" };
for (const [id, key] of Object.entries(buttons)) at(id).addEventListener("click", () => actions[key]());
at("order").addEventListener("change", () => { at("order").blur(); load(at("order").value).catch((problem) => tell(problem.message, true)); });
at("cancel").addEventListener("click", closeEditor);
at("editor").addEventListener("submit", (event) => { event.preventDefault(); save(); });

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") return closeEditor();
  if (mode !== null) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); save(); }
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
  const number = Number(event.key);
  if (number >= 1 && number <= queue.labels.length) { event.preventDefault(); answered(queue.labels[number - 1]); }
  else if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
});

load().catch((problem) => tell(problem.message, true));
