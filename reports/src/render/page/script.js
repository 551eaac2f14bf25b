"use strict";
// Sorts a table by a column when its head is pressed. The page says all that it has without this.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const line = table.tHead.rows[table.tHead.rows.length - 1];
  const original = Array.from(body.rows);
  Array.from(line.cells).forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const next = now === "ascending" ? "descending" : now === "descending" ? null : "ascending";
      for (const other of line.cells) other.removeAttribute("aria-sort");
      if (next === null) {
        body.append(...original);
        return;
      }
      head.setAttribute("aria-sort", next);
      const sign = next === "ascending" ? 1 : -1;
      const number = (row) => Number.parseFloat(row.cells[column].dataset.sort);
      const text = (row) => row.cells[column].textContent.trim();
      const compare = (a, b) => {
        const [x, y] = [number(a), number(b)];
        const [noX, noY] = [Number.isNaN(x), Number.isNaN(y)];
        // What has no figure stays last, in both directions.
        if (noX && noY) return sign * text(a).localeCompare(text(b), "en", { numeric: true });
        if (noX || noY) return noX ? 1 : -1;
        return sign * (x - y);
      };
      body.append(...original.slice().sort(compare));
    });
  });
}
