// Shows the questions that fit what is chosen; texts are compared, never put into the page.
addEventListener("DOMContentLoaded", () => {
  const chosen = Object.fromEntries(
    [...document.querySelectorAll("#filter [name]")].map((field) => [field.name, field]));
  const items = [...document.querySelectorAll("details.item")];
  const fits = {
    words: (item, value) => item.textContent.toLowerCase().includes(value.toLowerCase()),
    kind: (item, value) => item.dataset.kind === value,
    section: (item, value) => item.dataset.section === value,
    score: (item, value) => {
      const [low, high] = value.split("-").map(Number);
      return item.dataset.score >= low && item.dataset.score < high;
    },
  };
  document.getElementById("filter").hidden = false;
  document.getElementById("filter").addEventListener("input", () => {
    const asked = Object.keys(fits).filter((name) => chosen[name].value);
    let shown = 0;
    for (const item of items) {
      item.hidden = !asked.every((name) => fits[name](item, chosen[name].value));
      shown += !item.hidden;
    }
    // What is folded away would hide what was found.
    if (asked.length) document.querySelectorAll("details.more").forEach((each) => { each.open = true; });
    document.getElementById("shown").textContent = `${shown} / ${items.length}`;
  });
});
