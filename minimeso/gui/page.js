// Hands files to minimeso, one after the other, and shows what it answers: lines of JSON, whose HTML
// is the report's own and escaped there.  Everything else is put in as text.
"use strict";

const find = (selector) => document.querySelector(selector);
const most = Number(find("main").dataset.most);
const title = document.title;
const waiting = [];
let busy = false;

function make(tag, text, className) {
  const node = document.createElement(tag);
  node.textContent = text ?? "";
  if (className) node.className = className;
  return node;
}

/** Tell who cannot see it; said twice in a row it would be passed over. */
function announce(text) {
  const status = find("#status");
  if (status.textContent !== text) status.textContent = text;
}

/** A row of the list of files. */
class Row {
  constructor(file) {
    this.file = file;
    this.number = null; // of the file, once minimeso has it
    this.stopped = false;
    this.quarter = 0;
    this.abort = new AbortController();
    this.name = make("bdi", file.name);
    this.state = make("td", "waiting");
    this.todo = make("td");
    this.stop = make("button", "Stop");
    this.stop.type = "button";
    this.stop.setAttribute("aria-label", `Stop ${file.name}`);
    this.stop.addEventListener("click", () => this.end());
    const head = make("th");
    head.scope = "row";
    head.append(this.name);
    this.todo.append(this.stop);
    const row = make("tr");
    row.append(head, this.state, this.todo);
    find("#list tbody").append(row);
    find("#list").hidden = false;
  }

  /** Stop: what was seen until then is judged; what minimeso does not have yet is left. */
  end() {
    this.stopped = true;
    const place = waiting.indexOf(this);
    if (place >= 0) {
      waiting.splice(place, 1);
      this.say("left out");
    } else if (this.number === null) {
      this.abort.abort();
    } else {
      this.stop.disabled = true;
      fetch(`files/${this.number}/stop`, { method: "POST" }).catch(() => {});
    }
  }

  /** What is going on, and the share that is done (null: nobody knows). */
  progress(text, done) {
    if (!this.bar) {
      this.bar = make("progress");
      this.bar.setAttribute("aria-label", `${this.file.name}: progress`);
      this.text = make("span");
      this.state.replaceChildren(this.text, this.bar);
    }
    this.text.textContent = text;
    if (done === null) this.bar.removeAttribute("value");
    else this.bar.value = done;
    document.title = `${text}: ${this.file.name}`;
    const quarter = Math.floor((done ?? 0) * 4);
    if (quarter > this.quarter) announce(`${this.file.name}: ${25 * quarter} %`);
    this.quarter = quarter;
  }

  /** How it ended, in words. */
  say(text, className) {
    const focused = this.todo.contains(document.activeElement);
    this.state.replaceChildren(make("span", text, className));
    this.todo.replaceChildren();
    if (focused) find("#files").focus();
    announce(`${this.file.name}: ${text}`);
  }

  /** The report is there. */
  report(event) {
    const focused = this.todo.contains(document.activeElement);
    const score = event.score && `p_fake ${event.score}`;
    this.state.replaceChildren(make("span", event.said, `word ${event.kind}`), " ", make("small", score));
    const page = new DOMParser().parseFromString(event.document, "text/html");
    const section = page.querySelector("section.file");
    find("#reports").prepend(document.adoptNode(section));
    // what a clip needs explained stays where a picture comes after it
    const terms = ".terms dt";
    if (page.querySelectorAll(terms).length >= document.querySelectorAll(terms).length)
      find("#explanations").replaceChildren(
        ...[...page.querySelectorAll("main > section:not(.file)")].map((part) => document.adoptNode(part)),
      );
    const link = make("a");
    link.href = `#${section.id}`;
    this.name.replaceWith(link);
    link.append(this.name);
    const save = make("a", "Save", "button");
    save.href = URL.createObjectURL(new Blob([event.document], { type: "text/html" }));
    save.download = `${this.file.name}.html`;
    save.setAttribute("aria-label", `Save the report on ${this.file.name}`);
    this.todo.replaceChildren(save);
    if (focused) save.focus();
    announce(`${this.file.name}: ${event.said}${score && `, ${score}`}`);
  }
}

/** The lines of JSON of an answer. */
async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let parts = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const pieces = value.split("\n");
    parts.push(pieces[0]);
    for (const piece of pieces.slice(1)) {
      yield JSON.parse(parts.join(""));
      parts = [piece];
    }
  }
}

function grow(row, event) {
  if (event.html) {
    find("#growing-name").textContent = row.file.name;
    find("#so-far").innerHTML = event.html;
    find("#growing").hidden = false;
  }
  const share = event.done === null ? event.at : `${Math.floor(100 * event.done)} %`;
  row.progress(event.at ? `being judged, ${share}` : "being judged", event.done);
}

async function judge(row) {
  if (row.file.size > most) {
    row.say("larger than uploads may be: start minimeso gui with a larger --max-upload", "error");
    return;
  }
  row.progress("being read", null);
  announce(`${row.file.name}: being judged`);
  const response = await fetch(`files?name=${encodeURIComponent(row.file.name)}`, {
    method: "POST", body: row.file, signal: row.abort.signal,
    headers: { "Content-Type": "application/octet-stream" },
  });
  if (!response.ok) {
    row.say(await response.text(), "error");
    return;
  }
  let ended = false;
  for await (const event of lines(response)) {
    ended = "document" in event || "error" in event;
    if ("document" in event) row.report(event);
    else if ("error" in event) row.say(event.error, "error");
    else if ("number" in event) {
      row.number = event.number;
      if (row.stopped) row.end();
    } else if ("waiting" in event) row.progress("waiting for another page", null);
    else grow(row, event);
  }
  if (!ended) throw new Error("the answer has no end");
}

async function next() {
  if (busy) return;
  const row = waiting.shift();
  if (!row) return;
  busy = true;
  try {
    await judge(row);
  } catch (error) {
    if (row.abort.signal.aborted) row.say("stopped");
    else if (row.folder) row.say("a folder: choose the files in it", "error");
    else row.say("no answer: is minimeso still running, and the file still there?", "error");
    console.info(String(error));
  } finally {
    busy = false;
    document.title = title;
    find("#growing").hidden = true;
    find("#so-far").replaceChildren();
  }
  next();
}

function add(files, folders = []) {
  [...files].forEach((file, place) => {
    const row = new Row(file);
    row.folder = Boolean(folders[place]);
    waiting.push(row);
  });
  next();
}

find("#files").addEventListener("change", (event) => {
  add(event.target.files);
  event.target.value = "";
});
// the whole page takes what is dropped: beside a small field the browser would open the file
for (const kind of ["dragenter", "dragover"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.add("over");
  });
}
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const items = [...event.dataTransfer.items].filter((item) => item.kind === "file");
  add(event.dataTransfer.files, items.map((item) => item.webkitGetAsEntry?.()?.isDirectory));
});
