"use strict";
// A click on a heading sorts its table: numbers from high to low first, text from a to z; what is missing stays last.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const heading = button.parentElement;
    const body = heading.closest("table").tBodies[0];
    const isText = heading.dataset.kind === "text";
    const before = heading.getAttribute("aria-sort");
    const descending = before === "none" ? !isText : before === "ascending";
    for (const other of heading.parentElement.cells) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const keyOf = (row) => {
      const text = row.cells[heading.cellIndex].textContent.trim();
      if (isText) return text === "" || text === "-" ? null : text;
      const number = parseFloat(text);
      return Number.isNaN(number) ? null : number;
    };
    const rows = [...body.rows].map((row) => [keyOf(row), row]);
    rows.sort(([one], [other]) => {
      if (one === null || other === null) return (one === null) - (other === null);
      const order = isText ? one.localeCompare(other, "en") : one - other;
      return descending ? -order : order;
    });
    body.append(...rows.map(([, row]) => row));
  });
}
