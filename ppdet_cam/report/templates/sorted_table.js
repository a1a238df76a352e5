// --- tables: sorted by their head's buttons, a page of rows at a time ---

const PAGE_ROWS = 100;
const collator = new Intl.Collator(isChinese ? "zh" : "en", { numeric: true, sensitivity: "base" });

// Rows without a value come last, whichever way the others are sorted; equal rows keep the run's order.
function sortRows(rows, value, descending) {
  const sign = descending ? -1 : 1;
  const keyed = rows.map((row, position) => [value(row), position, row]);
  keyed.sort(([one, onePosition], [other, otherPosition]) => {
    if (one === null || other === null) return (one === null) - (other === null) || onePosition - otherPosition;
    const difference = typeof one === "string" ? collator.compare(one, other) : one - other;
    return sign * difference || onePosition - otherPosition;
  });
  return keyed.map(([, , row]) => row);
}

// A column: {key, label, value(row) to sort by, cell(row) to show; hint, kind, descendingFirst}.
class SortedTable {
  constructor({ caption, columns, hashOf, sort = null, pageRows = PAGE_ROWS, onChange = () => {} }) {
    this.columns = columns;
    this.hashOf = hashOf;
    this.sort = sort;
    this.pageRows = pageRows;
    this.page = 0;
    this.rows = [];
    this.ordered = [];
    this.onChange = onChange;
    this.caption = caption;
    this.headers = new Map(columns.map((column) => [column.key, this.#header(column)]));
    this.body = element("tbody");
    this.pager = element("nav", {
      class: pageRows < PAGE_ROWS ? "pager" : "pager floating",
      "aria-label": say("Pages of the table: {0}", caption),
    });
    this.node = element(
      "div",
      { class: "table-and-pager" },
      element(
        "div",
        { class: "scroller" },
        element(
          "table",
          { class: "rows" },
          element("caption", { class: "hidden" }, caption),
          element("thead", {}, element("tr", {}, ...this.headers.values())),
          this.body,
        ),
      ),
      this.pager,
    );
    this.body.addEventListener("click", (event) => this.#open(event));
  }

  show(rows) {
    this.rows = rows;
    this.page = 0;
    this.#order();
  }

  setSort(sort) {
    this.sort = sort;
    this.page = 0;
    this.#order();
  }

  #header(column) {
    if (!column.value)
      return element(
        "th",
        { scope: "col", class: column.kind },
        element("span", { class: column.labelHidden ? "hidden" : null }, column.label),
      );
    const button = element(
      "button",
      {
        type: "button",
        title: column.hint,
        onclick: () => {
          const again = this.sort && this.sort.key === column.key;
          this.setSort({
            key: column.key,
            descending: again ? !this.sort.descending : Boolean(column.descendingFirst),
          });
          announce(
            this.sort.descending
              ? say("sorted by {0}, descending", column.label)
              : say("sorted by {0}, ascending", column.label),
          );
          this.onChange();
        },
      },
      column.label,
      element("span", { class: "arrow", "aria-hidden": "true" }),
    );
    return element("th", { scope: "col", class: column.kind }, button);
  }

  #order() {
    for (const [key, header] of this.headers) {
      if (this.sort && this.sort.key === key)
        header.setAttribute("aria-sort", this.sort.descending ? "descending" : "ascending");
      else header.removeAttribute("aria-sort");
    }
    const column = this.sort && this.columns.find(({ key, value }) => key === this.sort.key && value);
    this.ordered = column ? sortRows(this.rows, column.value, this.sort.descending) : this.rows;
    this.#draw();
  }

  #draw() {
    const first = this.page * this.pageRows;
    this.body.replaceChildren(...this.ordered.slice(first, first + this.pageRows).map((row) => this.#row(row)));
    this.#drawPager(first);
  }

  #row(row) {
    const hash = this.hashOf && this.hashOf(row);
    const node = element("tr", { class: hash ? "opens" : null });
    node.row = row;
    for (const column of this.columns) {
      const content = column.cell(row);
      const cell = element(column.heads ? "th" : "td", { class: column.kind, scope: column.heads ? "row" : null });
      if (column.heads && hash) cell.append(element("a", { href: hash }, content));
      else cell.append(content);
      if (column.below) cell.append(element("span", { class: "below" }, ...column.below(row)));
      node.append(cell);
    }
    return node;
  }

  #open(event) {
    const node = event.target.closest("tr");
    if (!node || !this.hashOf) return;
    viewer.sequence = this.ordered.every((row) => row.image) ? this.ordered : null;
    const onLink = event.target.closest("a");
    if (!onLink && !String(getSelection())) location.hash = this.hashOf(node.row);
  }

  #drawPager(first) {
    const pages = Math.ceil(this.ordered.length / this.pageRows);
    this.pager.hidden = pages < 2;
    if (pages < 2) return;
    const focused =
      document.activeElement && this.pager.contains(document.activeElement) && document.activeElement.dataset.step;
    const go = (page) => {
      this.page = page;
      this.#draw();
      const top = this.node.getBoundingClientRect().top;
      if (top < 0) this.node.scrollIntoView({ block: "start" });
      announce(say("page {0} of {1}", page + 1, pages));
    };
    const step = (label, name, page) =>
      element(
        "button",
        {
          type: "button",
          "data-step": name,
          disabled: page < 0 || page >= pages,
          onclick: () => go(page),
        },
        label,
      );
    const choice = element(
      "select",
      { "data-step": "choice", "aria-label": say("Page"), onchange: (event) => go(Number(event.target.value)) },
      ...Array.from({ length: pages }, (_, page) =>
        element("option", { value: page, selected: page === this.page }, String(page + 1)),
      ),
    );
    const last = Math.min(first + this.pageRows, this.ordered.length);
    this.pager.replaceChildren(
      step(say("Previous"), "previous", this.page - 1),
      element("span", {}, say("page"), " ", choice, " ", say("of {0}", count(pages))),
      step(say("Next"), "next", this.page + 1),
      element(
        "span",
        { class: "quiet wide-only" },
        say("{0} to {1} of {2}", count(first + 1), count(last), count(this.ordered.length)),
      ),
    );
    const again = focused && this.pager.querySelector(`[data-step="${focused}"]`);
    if (again) (again.disabled ? choice : again).focus();
  }
}
