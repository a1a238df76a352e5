// --- the values that the page was written with ---

const { matchIou, images, failed, onlyA, onlyB, total, classes, pairs, insight = null } = JSON.parse(
  nodeOf("report-values").textContent,
);

images.forEach((image, position) => {
  image.position = position;
});
pairs.forEach((pair, position) => {
  pair.position = position;
  pair.image = images[pair.image];
});

const SIDES = ["a", "b"];
const LETTERS = { a: "A", b: "B" };
const KIND_COLOURS = { lost: "warning", new: "neutral", "other class": "warning", asked: "neutral" };

const boxesOf = (pair) => SIDES.map((side) => pair[side]).filter(Boolean);
const hasMaps = pairs.some((pair) => pair.mapCorrelation !== null);
const hasSeveralImages = images.length > 1;
const hasRoles = pairs.some((pair) => boxesOf(pair).some((box) => !["detection", "asked"].includes(box.role)));

const pairHash = (pair) => `#pair=${pair.position}`;
const scoreOf = (box) => (box && hasCandidate(box) ? box.score : null);
const energyOf = (box) => (box ? box.energy : null);

// The run that has no detection there; what stands in its place may be the best candidate for a missed object.
const absentSide = (pair) => ({ lost: "b", new: "a" })[pair.kind] || null;

// Why a run has no partner for a box.
function absenceText(pair, side) {
  if (pair.beside === null) return say("no detection");
  return say("box {0} of {1} is another one's partner", pair.beside, LETTERS[side]);
}

const classText = (pair) => (pair.kind === "asked" ? classOf(pair.a) : pair.classes.join(" → "));

function namesText(pair) {
  const names = SIDES.map((side) => pair[side] && `${LETTERS[side]}: ${nameOf(pair[side])}`).filter(Boolean);
  return names.join(", ");
}

// What ground truth says of both: of one text when it says the same.
function resultText(pair) {
  const roles = boxesOf(pair).map((box) => box.role);
  return [...new Set(roles)].map((role) => say(role)).join(" → ");
}

// --- changes as one reads them ---

const MINUS = "\u2212";

function signed(number, digits) {
  const text = Math.abs(number).toFixed(digits);
  if (Number(text) === 0) return text;
  return (number > 0 ? "+" : MINUS) + text;
}

const correlation = (number) => (number === null ? "–" : signed(number, 2).replace("+", ""));

// How a value is written, how a change of it is, and the change's unit.
const FORMS = {
  score: { plain: score, number: (change) => signed(change, 3), unit: "" },
  energy: { plain: percent, number: (change) => signed(change * 100, 0), unit: say(" pts") },
  correlation: { plain: correlation, number: correlation, unit: "" },
};

const changeText = (change, { number, unit }) => number(change) + unit;

function fromTo(one, other, plain) {
  return [plain(one), element("span", { class: "arrow-text" }, "→"), plain(other)];
}

function deltaBar(change) {
  const filled = element("span", { class: change < 0 ? "down" : "up" });
  filled.style.width = `${Math.min(1, Math.abs(change)) * 50}%`;
  return element("span", { class: "delta", "aria-hidden": "true" }, filled);
}

// The change of a number in a pair, and below it the two numbers.
function changeCell(one, other, change, form) {
  const values = element("span", { class: "below" }, ...fromTo(one, other, form.plain));
  if (change === null) return element("span", { class: "measure" }, "–", values);
  return element("span", { class: "measure" }, changeText(change, form), deltaBar(change), values);
}

// A mean and its interval over images; in bold when the interval leaves out zero.
function intervalCell(interval, form, isChange = true) {
  if (!interval) return element("span", { class: "quiet" }, "–");
  const isSure = isChange && interval.images > 1 && (interval.low > 0 || interval.high < 0);
  const counted = [plural(interval.boxes, "{0} box", "{0} boxes"), plural(interval.images, "{0} image", "{0} images")];
  const hint = say("mean over {0} in {1}", ...counted);
  return element(
    "span",
    { class: "measure", title: hint },
    element("span", { class: isSure ? "sure" : null }, changeText(interval.mean, form)),
    element("span", { class: "below" }, endsText(interval, form)),
  );
}

function endsText({ images: imageCount, low, high }, { number, unit }) {
  return imageCount > 1 ? say("{0} to {1}", number(low), number(high)) + unit : say("one image");
}

// Ground truth says whether it is good that a box is gone, or that one has come.
function colourOf(pair) {
  const absent = absentSide(pair);
  const found = absent && pair[absent === "b" ? "a" : "b"].role;
  if (found === "matched") return pair.kind === "new" ? "good" : "bad";
  if (found === "false positive") return pair.kind === "new" ? "bad" : "good";
  return KIND_COLOURS[pair.kind];
}

function kindOf(pair) {
  const colour = colourOf(pair);
  return colour ? badge(say(pair.kind), colour) : element("span", { class: "quiet" }, say(pair.kind));
}
