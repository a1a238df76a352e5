// --- the picture of a photo with heat and outlines ---

// A rotated box has a polygon, the corners of which are drawn instead.
function outline(corners, kind, polygon) {
  const [left, top] = corners;
  const [shape, place] = polygon
    ? ["polygon", { points: polygon.map((corner) => corner.join(",")).join(" ") }]
    : ["rect", { x: left, y: top, width: widthOf(corners), height: heightOf(corners) }];
  return drawn(
    "g",
    { class: `outline ${kind}` },
    drawn(shape, { ...place, class: "shade" }),
    drawn(shape, { ...place, class: "line" }),
  );
}

// Layers of one size, one above the other; outlines are given in the image's own pixels.
function stageOf(image, sources, outlines, { alt, onMissing }) {
  const [height, width] = image.hw;
  const stage = element("div", { class: "stage" });
  stage.style.aspectRatio = `${width} / ${height}`;
  stage.style.setProperty("--ratio", width / height);
  sources.forEach(({ url, kind }, position) => {
    stage.append(element("img", { src: url, class: kind, alt: position ? "" : alt, onerror: () => onMissing(url) }));
  });
  stage.append(drawn("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none" }, ...outlines));
  return stage;
}

function notFound(url, advice = say("Large pictures are files of the run's folder: keep them together.")) {
  return element("p", { class: "note" }, say("{0} is not beside this report. {1}", decoded(url), advice));
}

function decoded(url) {
  try {
    return decodeURIComponent(url).slice(2);
  } catch {
    return url.slice(2); // a name that is not UTF-8
  }
}

const legendEntry = (kind, words) =>
  element("li", {}, element("span", { class: `key ${kind}`, "aria-hidden": "true" }), words);
