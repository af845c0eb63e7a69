"use strict";
// The page: a picture becomes bytes in the module's memory; the finder's heads become faces; each
// face is cut as the networks know it, and judged.

const facts = JSON.parse(document.getElementById("facts").textContent);
const place = document.getElementById("place");
const state = document.getElementById("state");
const whole = document.getElementById("whole");
const canvas = document.getElementById("picture");
const list = document.getElementById("faces");
const WORDS = {real: "no trace of a swap of the kinds it knows", fake: "looks swapped",
  uncertain: "uncertain"};
const COLORS = {real: "#1b7f4d", fake: "#c62828", uncertain: "#b26a00"};
const THRESHOLD = 0.6, OVERLAP = 0.3, MOST_LOGIT = facts.most_logit, LEAST_FACE = 50;
let engine, image, taken = 0;

async function load() {
  const packed = Uint8Array.from(atob(document.getElementById("module").textContent),
    (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = await new Response(stream).arrayBuffer();
  engine = (await WebAssembly.instantiate(bytes)).instance.exports;
  if (engine.start()) throw new Error("the networks do not start");
}

// --- finding ----------------------------------------------------------------------------------

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

function cellsOf(stride, scale) {
  const side = facts.finder_side / stride, cells = [], plane = side * side;
  const head = new Float32Array(engine.memory.buffer, engine.head(stride), 16 * plane);
  for (let i = 0; i < plane; i++) {
    const score = Math.sqrt(sigmoid(head[i]) * sigmoid(head[plane + i]));
    if (!(score >= THRESHOLD)) continue;
    const column = i % side, line = (i - column) / side, value = (c) => head[c * plane + i];
    const x = column + value(2), y = line + value(3);
    const w = Math.exp(Math.min(value(4), 20)), h = Math.exp(Math.min(value(5), 20));
    const marks = [];
    for (let c = 6; c < 16; c += 2)
      marks.push([(column + value(c)) * stride / scale, (line + value(c + 1)) * stride / scale]);
    const box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2].map((edge) => edge * stride / scale);
    cells.push({score, box, marks});
  }
  return cells;
}

function overlap(a, b) {
  const wide = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const high = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  const shared = Math.max(wide, 0) * Math.max(high, 0);
  const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
  return shared / (area(a) + area(b) - shared);
}

function find(width, height) {
  const scale = Math.min(1, facts.finder_side / Math.max(width, height));
  const size = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
  if (engine.find(size[0], size[1])) throw new Error("not enough memory for this picture");
  const cells = [8, 16, 32].flatMap((stride) => cellsOf(stride, scale));
  const faces = [];
  for (const cell of cells.sort((a, b) => b.score - a.score))
    if (faces.every((face) => overlap(face.box, cell.box) <= OVERLAP)) faces.push(cell);
  return faces;
}

// The square of a face: around the middle between eyes and mouth.
function square(face) {
  const [left, right, , corner, other] = face.marks;
  const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  const eyes = middle(left, right), mouth = middle(corner, other);
  const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
  const side = Math.max(facts.side * Math.max(distance(left, right), distance(eyes, mouth)), 1);
  return [(eyes[0] + mouth[0] - side) / 2, (eyes[1] + mouth[1] - side) / 2, side, side];
}

// --- judging ----------------------------------------------------------------------------------

const logit = (p) => !(p > 0) ? -MOST_LOGIT : !(p < 1) ? MOST_LOGIT :
  Math.min(Math.max(Math.log(p) - Math.log1p(-p), -MOST_LOGIT), MOST_LOGIT);

function wider([x, y, w, h]) {
  const by = facts.wider;
  return [x - w * (by - 1) / 2, y - h * (by - 1) / 2, w * by, h * by];
}

function judge(box) {
  if (engine.cut(...box)) throw new Error("not enough memory for this face");
  const fast = engine.judge_fast();
  if (!facts.combination) return fast;
  const looks = [engine.judge_thorough(0), engine.judge_thorough(1)];
  if (!engine.cut(...wider(box))) looks.push(engine.judge_thorough(0), engine.judge_thorough(1));
  const thorough = looks.map(logit).reduce((a, b) => a + b) / looks.length;
  const {bias, fast: few, thorough: many} = facts.combination;
  return sigmoid(bias + few * logit(fast) + many * thorough);
}

const word = (p) => p >= facts.fake ? "fake" : p <= facts.real ? "real" : "uncertain";

function show(boxes) {
  const context = canvas.getContext("2d");
  context.lineWidth = Math.max(2, canvas.width / 300);
  context.font = `${Math.max(16, canvas.width / 30)}px system-ui, sans-serif`;
  boxes.forEach((box, number) => {
    const p = judge(box), said = word(p), item = document.createElement("li");
    const strong = document.createElement("strong"), more = document.createElement("span");
    context.strokeStyle = context.fillStyle = COLORS[said];
    context.strokeRect(...box);
    context.fillText(`${number + 1}`, box[0] + context.lineWidth, box[1] - context.lineWidth);
    strong.textContent = WORDS[said];
    more.textContent = `p_fake ${(100 * p).toFixed(1)} %`;
    item.dataset.pFake = p;
    item.dataset.box = JSON.stringify(box);
    item.append(strong, more);
    list.append(item);
  });
}

// --- pictures ---------------------------------------------------------------------------------

function draw() {
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.hidden = false;
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, image.width, image.height).data;
}

function copy(rgba, width, height) {
  const at = engine.picture(width, height);
  if (!at) throw new Error("the picture is too large");
  const rgb = new Uint8Array(engine.memory.buffer, at, 3 * width * height);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    rgb[to] = rgba[from];
    rgb[to + 1] = rgba[from + 1];
    rgb[to + 2] = rgba[from + 2];
  }
}

function judgeAll(asWhole) {
  const started = performance.now();
  list.replaceChildren();
  const {width, height} = image;
  copy(draw(), width, height);
  const all = asWhole ? [] : find(width, height);
  const large = all.filter(({box}) => Math.max(box[2] - box[0], box[3] - box[1]) >= LEAST_FACE);
  show(asWhole ? [[0, 0, width, height]] : large.map(square));
  whole.hidden = asWhole || all.length > 0;
  const seconds = ((performance.now() - started) / 1000).toFixed(2), left = all.length - large.length;
  state.textContent = (list.children.length || asWhole
    ? `Judged in ${seconds} seconds, on this computer.` : "No face found that could be judged.") +
    (left ? ` Too small to be judged: ${left}.` : "");
  state.dataset.done = "yes";
}

async function take(file) {
  const mine = ++taken;
  let found;
  delete state.dataset.done;
  state.textContent = "Looking.";
  try {
    await loaded;
  } catch (error) {
    cannotRun(error);
    return;
  }
  try {
    found = await createImageBitmap(file, {colorSpaceConversion: "none", premultiplyAlpha: "none"});
  } catch {
    found = null;
  }
  if (mine !== taken) return; // another picture was given meanwhile
  if (found) {
    image = found;
    guarded(false);
  } else {
    state.textContent = `${file.name}: no picture that this browser can read.`;
    state.dataset.done = "no";
  }
}

function cannotRun(error) {
  state.textContent = `This browser cannot run it: ${error.message}.`;
  state.dataset.done = "no";
}

function guarded(asWhole) {
  try {
    judgeAll(asWhole);
  } catch (error) {
    state.textContent = `It did not work: ${error.message}.`;
    state.dataset.done = "no";
  }
}

document.getElementById("file").addEventListener("change", (event) => {
  if (event.target.files.length) take(event.target.files[0]);
});
whole.addEventListener("click", () => guarded(true));
for (const kind of ["dragover", "dragleave", "drop"])
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    place.classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
const loaded = load();
loaded.then(() => {
  if (!taken) state.textContent = "Ready.";
  state.dataset.ready = "yes";
}, cannotRun);
