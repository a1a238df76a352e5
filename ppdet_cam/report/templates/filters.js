// --- a table with a form of filters; what is filtered and sorted stands in the address ---

function countsOf(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) || 0) + 1);
  return [...counts].sort(([one], [other]) => collator.compare(one, other));
}

// Options are [value, how many there are, words for it].
function choiceField(name, label, everything, options) {
  return element(
    "label",
    {},
    label,
    element(
      "select",
      { name },
      element("option", { value: "" }, everything),
      ...options.map(([value, number, words]) => element("option", { value }, `${words || value} (${count(number)})`)),
    ),
  );
}

function numberField(name, label, { placeholder, ...limits }) {
  return element(
    "label",
    {},
    label,
    element("input", { type: "number", name, inputmode: "decimal", placeholder, ...limits }),
  );
}

const findField = (placeholder) =>
  element(
    "label",
    { class: "find" },
    say("Find"),
    element("input", { type: "search", name: "find", placeholder, autocomplete: "off" }),
  );

// lets: name of a field -> whether its value lets a row through. nouns: "{0} row", "{0} rows". label: of the form.
class FilteredTable {
  constructor({ rows, table, fields, lets, nouns, label, onAddress = () => {} }) {
    this.rows = rows;
    this.table = table;
    this.lets = lets;
    this.nouns = nouns;
    this.onAddress = onAddress;
    this.usualSort = table.sort;
    this.filters = {};
    this.wasApplied = false;
    table.onChange = () => this.#writeAddress();
    this.matches = element("span", { class: "matches" });
    this.form = element(
      "form",
      { class: "filters", role: "search", "aria-label": label },
      ...fields.filter(Boolean),
      element("button", { type: "reset" }, say("Clear")),
      this.matches,
    );
    this.form.addEventListener("input", () => this.#readForm());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("reset", (event) => {
      event.preventDefault();
      for (const field of this.form.querySelectorAll("input, select")) field.value = "";
      this.#readForm();
    });
  }

  // Returns whether the address names rows to be looked at. "Back", a link and a bookmark give the same table again.
  readAddress(parameters) {
    const filters = Object.fromEntries([...parameters].filter(([name, value]) => name in this.lets && value));
    const sort = parameters.get("sort");
    if (this.wasApplied && this.#address(filters, sort) === this.address()) return false;
    this.filters = filters;
    for (const field of this.form.querySelectorAll("[name]")) field.value = filters[field.name] || "";
    this.table.sort = sort ? { key: sort.replace(/^-/, ""), descending: sort.startsWith("-") } : this.usualSort;
    this.#apply();
    return Object.keys(filters).length > 0;
  }

  address() {
    const { sort } = this.table;
    return this.#address(this.filters, sort === this.usualSort ? null : (sort.descending ? "-" : "") + sort.key);
  }

  #address(filters, sort) {
    const parameters = new URLSearchParams(Object.entries(filters).sort());
    if (sort) parameters.set("sort", sort);
    return `#${parameters}`;
  }

  #readForm() {
    this.filters = {};
    for (const [name, value] of new FormData(this.form)) if (value.trim()) this.filters[name] = value.trim();
    this.#writeAddress();
    this.#apply();
  }

  #writeAddress() {
    const hash = this.address();
    putAddress(hash);
    this.onAddress(hash);
  }

  #apply() {
    const active = Object.entries(this.filters);
    const rows = this.rows.filter((row) => active.every(([name, value]) => this.lets[name](row, value)));
    this.wasApplied = true;
    this.table.show(rows);
    const all = plural(this.rows.length, ...this.nouns);
    this.matches.textContent = active.length ? say("{0} of {1}", count(rows.length), all) : all;
    announce(say("{0} shown", this.matches.textContent));
    this.table.node.hidden = !rows.length;
  }
}
