/** Tabs by the pattern of ARIA: arrows, Home and End move between them, and only the selected one is a stop of the Tab key. */

/**
 * @param {HTMLElement} list The element with role tablist.
 * @param {(id: string) => void} changed Called with the id of a tab when it is selected.
 * @returns {(id: string) => void} A function that selects a tab.
 */
export function tabs(list, changed) {
  const all = () => [...list.querySelectorAll("[role=tab]")].filter((tab) => !tab.hidden);
  let selected = null;

  function select(id) {
    if (id === selected) return;
    selected = id;
    for (const tab of list.querySelectorAll("[role=tab]")) {
      const chosen = tab.id === id;
      tab.setAttribute("aria-selected", chosen);
      tab.tabIndex = chosen ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !chosen;
    }
    changed(id);
  }

  list.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) select(tab.id);
  });
  list.addEventListener("keydown", (event) => {
    const shown = all();
    const here = shown.findIndex((tab) => tab.id === selected);
    const target = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: -1 }[event.key];
    if (target === undefined) return;
    event.preventDefault();
    const tab = shown.at(target % shown.length);
    select(tab.id);
    tab.focus();
  });
  return select;
}
