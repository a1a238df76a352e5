// --- the values that the page was written with ---

const { images, layers, insight = null } = JSON.parse(document.getElementById("report-values").textContent);
const boxes = [];

images.forEach((image, position) => {
  image.position = position;
  image.boxes.forEach((box, boxPosition) => {
    box.image = image;
    box.position = boxPosition;
    boxes.push(box);
  });
});

const hasSeveralImages = images.length > 1;
const hasTruth = images.some((image) => image.truth);
const hasRoles = boxes.some((box) => box.role !== "detection");
const hasSeveralTargets = new Set(boxes.map((box) => box.target)).size > 1;
const hasSeveralMethods = new Set(boxes.map((box) => box.method)).size > 1;

const heatOutside = (box) => (box.energy === null ? null : 1 - box.energy);
const shownPlace = (box) => (hasCandidate(box) || !box.answer ? box : box.answer);
const shownCorners = (box) => shownPlace(box).box;

function levelsOf(box) {
  return box.levels.map(([layer, level, gridHeight, gridWidth, strideY, strideX, share]) => ({
    layer: layers[layer],
    level,
    grid: `${gridHeight}×${gridWidth}`,
    stride: Math.sqrt(strideY * strideX),
    share,
  }));
}

// Where between fine and coarse the evidence lies: the mean stride, each level weighted by its share.
function meanStride(box) {
  const levels = levelsOf(box);
  const total = levels.reduce((sum, level) => sum + level.share, 0);
  return total > 0 ? levels.reduce((sum, level) => sum + level.share * level.stride, 0) / total : null;
}

const strideText = (stride) => String(Number(stride.toFixed(1)));

// --- parts that several pages show ---

const thumbnailOf = (box) =>
  pictureOf(box && box.thumbnail, box && (isBlank(box) ? say("No map: {0}, {1}", classOf(box), nameOf(box)) : say("Map: {0}, {1}", classOf(box), nameOf(box))));

function levelBarOf(box) {
  const levels = levelsOf(box).sort((one, other) => one.stride - other.stride);
  const main = levels.reduce((best, level) => (!best || level.share > best.share ? level : best), null);
  if (!main || main.share <= 0) return element("span", { class: "quiet" }, "–");
  const words = levels.map((level) => `${level.grid} ${percent(level.share)}`).join(", ");
  if (levels.length === 1) return element("span", { class: "measure" }, main.grid);
  const bar = element("span", { class: "levels", "aria-hidden": "true" });
  levels.forEach((level, position) => {
    if (level.share <= 0) return;
    const part = element("span", { class: `level-${Math.min(position, 5)}` });
    part.style.flexGrow = level.share;
    bar.append(part);
  });
  return element(
    "span",
    { class: "measure", title: words },
    element("span", { "aria-hidden": "true" }, `${main.grid} ${percent(main.share)}`),
    element("span", { class: "hidden" }, words),
    bar,
  );
}

const ROLE_KINDS = { matched: "good", "false positive": "bad", missed: "bad", asked: "neutral" };

function roleOf(box) {
  return ROLE_KINDS[box.role] ? badge(say(box.role), ROLE_KINDS[box.role]) : element("span", { class: "quiet" }, say(box.role));
}

const imageHash = (image) => `#image=${image.position}`;
const boxHash = (box) => `#image=${box.image.position}&box=${box.position}`;
