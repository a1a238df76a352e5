// --- the picture of a photo with heat and outlines ---

function outline(corners, kind) {
  const [left, top] = corners;
  const place = { x: left, y: top, width: widthOf(corners), height: heightOf(corners) };
  return drawn(
    "g",
    { class: `outline ${kind}` },
    drawn("rect", { ...place, class: "shade" }),
    drawn("rect", { ...place, class: "line" }),
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

function notFound(url) {
  return element(
    "p",
    { class: "note" },
    `${decoded(url)} is not beside this report. Large pictures are files of the run's folder: keep them together.`,
  );
}

function decoded(url) {
  try {
    return decodeURIComponent(url).slice(2);
  } catch {
    return url.slice(2); // a name that is not UTF-8
  }
}

// --- the viewer: one box in a dialog ---

const viewer = {
  dialog: document.getElementById("viewer"),
  sequence: null, // the rows of the table that it was opened from
  opacity: 100,
  outlined: true,
  box: null,

  show(box) {
    this.box = box;
    if (!this.sequence || !this.sequence.includes(box)) this.sequence = box.image.boxes;
    const wasOpen = this.dialog.open;
    const focused = wasOpen && document.activeElement && document.activeElement.dataset.part;
    this.dialog.replaceChildren(this.head(), element("div", { class: "viewer-body" }, this.picture(), this.side()));
    if (!wasOpen) this.dialog.showModal();
    const again = focused && this.dialog.querySelector(`[data-part="${focused}"]:not([disabled])`);
    (again || this.dialog.querySelector("#viewer-title")).focus();
    if (wasOpen) announce(this.titleText());
  },

  titleText() {
    const { box } = this;
    return [classOf(box), hasCandidate(box) ? score(box.score) : null].filter(Boolean).join(" ");
  },

  head() {
    const position = this.sequence.indexOf(this.box);
    const step = (label, part, offset, key) =>
      element(
        "button",
        {
          type: "button",
          "data-part": part,
          disabled: !this.sequence[position + offset],
          title: `${label} box (${key})`,
          "aria-label": `${label} box`,
          onclick: () => this.move(offset),
        },
        offset < 0 ? "‹" : "›",
      );
    return element(
      "div",
      { class: "viewer-head" },
      element(
        "h2",
        { id: "viewer-title", tabindex: "-1" },
        this.titleText(),
        " ",
        element(
          "span",
          { class: "quiet" },
          hasSeveralImages ? `${nameOf(this.box)} in ${this.box.image.title}` : nameOf(this.box),
        ),
      ),
      element(
        "span",
        { class: "steps" },
        step("Previous", "previous", -1, "←"),
        element("span", { class: "quiet" }, `${count(position + 1)} of ${count(this.sequence.length)}`),
        step("Next", "next", 1, "→"),
        element(
          "button",
          {
            type: "button",
            "data-part": "close",
            title: "Close (Esc)",
            "aria-label": "Close",
            onclick: () => leaveViewer(),
          },
          "✕",
        ),
      ),
    );
  },

  move(offset) {
    const next = this.sequence[this.sequence.indexOf(this.box) + offset];
    if (next) replaceHash(boxHash(next));
  },

  picture() {
    const { box } = this;
    const { photo } = box.image.files;
    if (photo && box.image.hw && (box.files.heatmap || isBlank(box))) return this.layeredPicture(photo);
    const kind = ["overlay", "panel", "crop", "heatmap"].find((candidate) => box.files[candidate]);
    const how = "The slider needs the photo and the map as files of their own: run with --report --save heatmap.";
    if (!kind && photo && box.image.hw) return this.layeredPicture(photo, `No map was saved. ${how}`);
    if (!kind)
      return element(
        "figure",
        { class: "viewer-picture" },
        element("p", { class: "note" }, "The run saved no picture of this box: --save overlay"),
      );
    const figure = element("figure", { class: "viewer-picture" });
    const url = box.files[kind];
    figure.append(
      element("img", {
        src: url,
        class: "whole",
        alt: this.alternative(),
        onerror: () => figure.replaceChildren(notFound(url), thumbnailOf(box)),
      }),
      element("figcaption", { class: "quiet" }, how),
    );
    return figure;
  },

  alternative() {
    const { box } = this;
    const place = box.box.map((corner) => Math.round(corner)).join(", ");
    return `${isBlank(box) ? "Photo without a map" : "Photo with the map"} of ${classOf(box)}, box at ${place}`;
  },

  layeredPicture(photo, note) {
    const { box } = this;
    const outlines = [];
    if (box.roi) outlines.push(outline(box.roi, "proposal"));
    if (hasCandidate(box)) outlines.push(outline(box.box, "detection"));
    if (box.answer) outlines.push(outline(box.answer.box, "asked"));
    const sources = [{ url: photo, kind: "photo" }];
    if (box.files.heatmap && !isBlank(box)) sources.push({ url: box.files.heatmap, kind: "heat" });
    const figure = element("figure", { class: "viewer-picture" });
    const onMissing = (url) => {
      if (!figure.querySelector(".note")) figure.replaceChildren(notFound(url), thumbnailOf(box));
    };
    const stage = stageOf(box.image, sources, outlines, { alt: this.alternative(), onMissing });
    const controls = element("div", { class: "controls" });
    if (sources.length > 1) controls.append(this.slider(stage));
    controls.append(this.outlineSwitch(stage, outlines));
    return fill(figure, {}, [
      element("div", { class: "stage-frame" }, stage),
      controls,
      note ? element("figcaption", { class: "quiet" }, note) : null,
    ]);
  },

  slider(stage) {
    const output = element("output", { for: "opacity", "aria-live": "off" });
    const apply = () => {
      output.textContent = `${this.opacity} %`;
      input.setAttribute("aria-valuetext", output.textContent);
      const heat = stage.querySelector(".heat");
      if (heat) heat.style.opacity = this.opacity / 100;
    };
    const input = element("input", {
      type: "range",
      id: "opacity",
      "data-part": "opacity",
      min: 0,
      max: 100,
      step: 1,
      value: this.opacity,
      oninput: (event) => {
        this.opacity = Number(event.target.value);
        apply();
      },
    });
    apply();
    return element("span", { class: "control" }, element("label", { for: "opacity" }, "Heat"), input, output);
  },

  outlineSwitch(stage, outlines) {
    const apply = () => stage.classList.toggle("bare", !this.outlined);
    apply();
    const input = element("input", {
      type: "checkbox",
      "data-part": "outlines",
      checked: this.outlined,
      onchange: (event) => {
        this.outlined = event.target.checked;
        apply();
      },
    });
    const label = outlines.length > 1 ? "Outlines" : "Outline";
    return element("label", { class: "control" }, input, label);
  },

  side() {
    const { box } = this;
    const facts = [
      box.answer
        ? [
            box.role === "missed" ? "Missed object" : "Asked about",
            [box.answer.name, box.answer.className].filter(Boolean).join(", "),
          ]
        : null,
      box.answer ? ["Verdict", verdictOf(box)] : null,
      box.answer ? ["IoU with it", box.answer.iou.toFixed(2)] : null,
      !box.answer && hasRoles ? ["Result", roleOf(box)] : null,
      box.truth && box.truth.iou !== null ? ["Ground truth", wordsOf(box)] : null,
      ["Status", statusOf(box)],
      ["Heat in box", meterOf(box.energy)],
      hasCandidate(box) ? [box.answer ? "Best candidate" : "Box", cornersText(box.box)] : null,
      hasCandidate(box) ? ["Size", `${pixels(widthOf(box.box))} × ${pixels(heightOf(box.box))} px`] : null,
      box.answer ? [box.role === "missed" ? "Its box" : "Box asked about", cornersText(box.answer.box)] : null,
      box.roi ? ["Proposal", cornersText(box.roi)] : null,
      ["Method", box.target === "class" ? box.method : `${box.method} of ${box.target}`],
      ["Layers", box.layers.join(", ")],
      ["Image", element("a", { href: imageHash(box.image), title: box.image.path }, box.image.title)],
    ].filter(Boolean);
    const side = element("div", { class: "viewer-side" });
    if (isBlank(box)) side.append(element("p", { class: "note" }, `No map: ${box.reason}.`));
    if (box.answer) side.append(element("p", {}, box.answer.words));
    side.append(
      element("dl", {}, ...facts.flatMap(([label, value]) => [element("dt", {}, label), element("dd", {}, value)])),
    );
    if (box.levels.length && !isBlank(box)) side.append(levelTableOf(box));
    return fill(side, {}, [this.legend(), filesOf(box)]);
  },

  legend() {
    const { box } = this;
    const entries = [
      hasCandidate(box) ? ["detection", box.answer ? "the best candidate" : "the box"] : null,
      box.answer ? ["asked", box.role === "missed" ? "the missed object" : "the box asked about"] : null,
      box.roi ? ["proposal", "the proposal that was pooled"] : null,
    ].filter(Boolean);
    if (entries.length < 2 || !box.image.files.photo) return null;
    return element("ul", { class: "legend" }, ...entries.map(([kind, words]) => legendEntry(kind, words)));
  },
};

const legendEntry = (kind, words) =>
  element("li", {}, element("span", { class: `key ${kind}`, "aria-hidden": "true" }), words);

function cornersText(corners) {
  const [left, top, right, bottom] = corners.map((corner) => corner.toFixed(1));
  return `${left}, ${top} to ${right}, ${bottom}`;
}

function levelTableOf(box) {
  const several = new Set(box.levels.map(([layer]) => layer)).size > 1;
  return element(
    "table",
    { class: "plain levels-table" },
    element("caption", {}, "Levels"),
    element(
      "thead",
      {},
      element("tr", {}, ...["Grid", "Stride", "Share"].map((label) => element("th", { scope: "col" }, label))),
    ),
    element(
      "tbody",
      {},
      ...levelsOf(box).map((level) =>
        element(
          "tr",
          {},
          element("th", { scope: "row", title: level.layer }, several ? `${level.layer} ${level.grid}` : level.grid),
          element("td", {}, strideText(level.stride)),
          element("td", {}, meterOf(level.share)),
        ),
      ),
    ),
  );
}

function filesOf(box) {
  const files = [...Object.entries(box.files), ...Object.entries(box.image.files)];
  if (!files.length) return null;
  return element(
    "p",
    { class: "files" },
    "Files: ",
    ...files.flatMap(([kind, url], position) => [
      position ? ", " : "",
      element("a", { href: url, target: "_blank", rel: "noopener" }, kind),
    ]),
  );
}

viewer.dialog.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.matches("input, select")) return;
  const offset = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (offset) {
    event.preventDefault();
    viewer.move(offset);
  }
});
viewer.dialog.addEventListener("cancel", (event) => {
  event.preventDefault();
  leaveViewer();
});
viewer.dialog.addEventListener("close", () => {
  if (readRoute().box !== null) leaveViewer();
});
viewer.dialog.addEventListener("click", (event) => {
  if (event.target === viewer.dialog) leaveViewer();
});
