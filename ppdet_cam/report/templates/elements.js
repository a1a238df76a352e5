// --- values as one reads them ---

const count = (number) => number.toLocaleString("en");
// one and many are texts with {0} where the number goes: "{0} box", "{0} boxes"
const plural = (number, one, many) => say(number === 1 ? one : many, count(number));
const score = (number) => (number === null ? "–" : number.toFixed(3));
const pixels = (number) => count(Math.round(number));

function percent(share) {
  if (share === null) return "–";
  if (share > 0 && share < 0.005) return "<1 %";
  if (share < 1 && share > 0.995) return ">99 %";
  return `${Math.round(share * 100)} %`;
}

const STATUS_WORDS = {
  ok: say("ok"),
  no_path: say("no path"),
  zero_gradient: say("zero gradient"),
  negative: say("negative"),
  not_finite: say("not finite"),
  outside: say("off the image"),
  disjoint: say("no common place"),
  no_candidate: say("no candidate"),
};

// --- places in an image: left, top, right, bottom ---

const widthOf = (corners) => Math.max(0, corners[2] - corners[0]);
const heightOf = (corners) => Math.max(0, corners[3] - corners[1]);
const lengthOf = ([x, y], [endX, endY]) => Math.hypot(endX - x, endY - y);

// The size of a place, which is a box and, for a rotated one, its polygon.
const sidesOf = ({ box, polygon }) =>
  polygon ? [lengthOf(polygon[0], polygon[1]), lengthOf(polygon[1], polygon[2])] : [widthOf(box), heightOf(box)];
const areaOf = (place) => sidesOf(place)[0] * sidesOf(place)[1];
const sizeText = (place) => sidesOf(place).map(pixels).join(" × ");

function cornersText(corners, polygon) {
  if (polygon) return polygon.map((corner) => corner.map((value) => value.toFixed(1)).join(", ")).join("; ");
  const [left, top, right, bottom] = corners.map((corner) => corner.toFixed(1));
  return say("{0}, {1} to {2}, {3}", left, top, right, bottom);
}

// --- elements; texts become text nodes, never HTML ---

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const element = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const drawn = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const nodeOf = (id) => document.getElementById(id);

// --- what is said to screen readers, and what stands in the address ---

let announcing = 0;

// Says something to screen readers, once the typing or sliding that led to it has come to rest.
function announce(text) {
  clearTimeout(announcing);
  announcing = setTimeout(() => {
    nodeOf("announcement").textContent = text;
  }, 300);
}

function putAddress(hash) {
  try {
    history.replaceState(null, "", hash || "#");
  } catch {
    // Safari refuses more than a hundred changes in ten seconds; the next one takes its place
  }
}

// Goes to another place of the page without a new step in the browser's history.
function replaceHash(hash) {
  putAddress(hash);
  applyRoute();
}

// --- parts that tables and pages are put together from ---

const THUMBNAIL_SIDE = 64;

const unveil = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      unveil.unobserve(target);
      target.unveil();
    }
  },
  { rootMargin: "300px" },
);

// Gives a picture its source when its frame comes near the visible part of the page.
function loadLate(frame, picture, source) {
  frame.unveil = () => {
    picture.src = source;
  };
  unveil.observe(frame);
}

// A small picture inside the page, or a part of a file beside it; a word where there is none.
function pictureOf(thumbnail, alt, side = THUMBNAIL_SIDE) {
  const frame = element("span", { class: "thumbnail" });
  if (side !== THUMBNAIL_SIDE) frame.style.setProperty("--side", `${side}px`);
  const missing = () => frame.replaceChildren(element("span", { class: "quiet" }, say("no picture")));
  if (!thumbnail) {
    missing();
    return frame;
  }
  const { data, url, window: part } = thumbnail;
  const picture = element("img", { alt, decoding: "async", onerror: missing });
  loadLate(frame, picture, data || url);
  if (part) {
    const unit = side / Math.max(part[2], part[3]);
    const clip = element("span", { class: "clip" }, picture);
    clip.style.width = `${part[2] * unit}px`;
    clip.style.height = `${part[3] * unit}px`;
    picture.style.width = `${unit}px`;
    picture.style.left = `${-part[0] * unit}px`;
    picture.style.top = `${-part[1] * unit}px`;
    frame.append(clip);
  } else {
    frame.append(picture);
  }
  return frame;
}

function sectionOf(title, explanation, ...content) {
  return element(
    "section",
    { class: "section" },
    element("h2", { tabindex: "-1" }, title),
    explanation ? element("p", { class: "quiet" }, explanation) : null,
    ...content,
  );
}

function meterOf(share) {
  if (share === null) return element("span", { class: "quiet", title: say("there is no map") }, "–");
  const filled = element("span", { class: "filled" });
  filled.style.width = `${share * 100}%`;
  return element(
    "span",
    { class: "measure" },
    percent(share),
    element("span", { class: "meter", "aria-hidden": "true" }, filled),
  );
}

const badge = (text, kind, title) => element("span", { class: `badge ${kind}`, title }, text);

// --- what is said of a box ---

const isBlank = (box) => box.status !== "ok";
const hasCandidate = (box) => box.status !== "no_candidate";

// What a box is called: the detection's index, or the name of the box that was asked about.
const nameOf = (box) => (box.answer ? box.answer.name : say("box {0}", box.index));
const classOf = (box) => (hasCandidate(box) || !box.answer ? box.className : box.answer.className || say("any class"));

function statusOf(box) {
  return isBlank(box)
    ? badge(STATUS_WORDS[box.status], "warning", say(box.reason))
    : element("span", { class: "quiet" }, STATUS_WORDS.ok);
}

// An answer's sentence, clause by clause; of an older run, as it was written.
const answerWords = (answer) => answer.said.map(([pattern, ...values]) => say(pattern, ...values)).join("");

const verdictOf = (box) => badge(say(box.answer.verdict), box.answer.verdict === "found" ? "good" : "neutral");
