// --- the viewer: a dialog that shows one thing of many, large, and steps through them ---

// What is shown is up to its page: {previous and next: names of the buttons, titleOf(thing), placeOf(thing), siblingsOf(thing), contentOf(thing) -> nodes,
// hashOf(thing), hashBehind(thing), addressed() -> the thing that the address names, or null}.
class Viewer {
  constructor(page) {
    this.page = page;
    this.dialog = document.getElementById("viewer");
    this.sequence = null; // the rows of the table that it was opened from
    this.thing = null;
    this.opacity = 100;
    this.outlined = true;
    this.wasOpenedHere = false; // then "back" leads to where one was
    this.isLeaving = false;
    this.#listen();
  }

  show(thing, { isFirst = false } = {}) {
    const wasOpen = this.dialog.open;
    this.isLeaving = false;
    if (!wasOpen) this.wasOpenedHere = !isFirst;
    this.thing = thing;
    if (!this.sequence || !this.sequence.includes(thing)) this.sequence = this.page.siblingsOf(thing);
    const focused = wasOpen && document.activeElement && document.activeElement.dataset.part;
    this.dialog.replaceChildren(this.#head(), element("div", { class: "viewer-body" }, ...this.page.contentOf(thing)));
    if (!wasOpen) this.dialog.showModal();
    const again = focused && this.dialog.querySelector(`[data-part="${focused}"]:not([disabled])`);
    (again || this.dialog.querySelector("#viewer-title")).focus();
    if (wasOpen) announce(this.page.titleOf(thing));
  }

  close() {
    this.isLeaving = false;
    if (this.dialog.open) this.dialog.close();
  }

  leave() {
    if (this.isLeaving) return;
    if (this.wasOpenedHere) {
      this.isLeaving = true;
      history.back();
    } else {
      replaceHash(this.page.hashBehind(this.thing));
    }
  }

  move(offset) {
    const next = this.sequence[this.sequence.indexOf(this.thing) + offset];
    if (next) replaceHash(this.page.hashOf(next));
  }

  #head() {
    const { previous, next, titleOf, placeOf } = this.page;
    const position = this.sequence.indexOf(this.thing);
    const step = (label, part, offset, key) =>
      element(
        "button",
        {
          type: "button",
          "data-part": part,
          disabled: !this.sequence[position + offset],
          title: `${label} (${key})`,
          "aria-label": label,
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
        titleOf(this.thing),
        " ",
        element("span", { class: "quiet" }, placeOf(this.thing)),
      ),
      element(
        "span",
        { class: "steps" },
        step(previous, "previous", -1, "←"),
        element("span", { class: "quiet" }, say("{0} of {1}", count(position + 1), count(this.sequence.length))),
        step(next, "next", 1, "→"),
        element(
          "button",
          {
            type: "button",
            "data-part": "close",
            title: `${say("Close")} (Esc)`,
            "aria-label": say("Close"),
            onclick: () => this.leave(),
          },
          "✕",
        ),
      ),
    );
  }

  #listen() {
    const { dialog } = this;
    dialog.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey || event.target.matches("input, select")) return;
      const offset = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (offset) {
        event.preventDefault();
        this.move(offset);
      }
    });
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.leave();
    });
    dialog.addEventListener("close", () => {
      if (this.page.addressed() !== null) this.leave();
    });
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) this.leave();
    });
  }

  // A slider for the opacity of the heat on one or more stages.
  opacitySlider(stages) {
    const output = element("output", { for: "opacity", "aria-live": "off" });
    const apply = () => {
      output.textContent = `${this.opacity} %`;
      input.setAttribute("aria-valuetext", output.textContent);
      for (const stage of stages)
        for (const heat of stage.querySelectorAll(".heat")) heat.style.opacity = this.opacity / 100;
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
    return element("span", { class: "control" }, element("label", { for: "opacity" }, say("Heat")), input, output);
  }

  outlineSwitch(stages, label) {
    const apply = () => stages.forEach((stage) => stage.classList.toggle("bare", !this.outlined));
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
    return element("label", { class: "control" }, input, label);
  }
}
