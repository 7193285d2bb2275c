// Keeps a page fresh: asks the same address for its fragment and puts what changed into its place.
// Without this script every page still works; reload it to see what is new.
(() => {
  "use strict";
  const every_ms = 2000;
  const longest_ms = 30000;
  const notice = document.getElementById("connection");
  const seen = new Map();
  let tag = "";
  let wait_ms = every_ms;

  const remember = (region) => seen.set(region.id, region.innerHTML);
  document.querySelectorAll("[data-live]").forEach(remember);

  // Whoever has typed or ticked something, or has a control of a region in focus, is not disturbed.
  const is_in_use = (region) =>
    region.contains(document.activeElement) ||
    [...region.querySelectorAll("textarea, input")].some(
      (each) => each.value !== each.defaultValue || each.checked !== each.defaultChecked,
    );

  // Returns whether everything found its place; else the same answer is wanted again.
  function put(html) {
    let is_complete = true;
    const fresh = new DOMParser().parseFromString(html, "text/html");
    for (const region of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(region.id);
      if (next === null || seen.get(region.id) === next.innerHTML) continue;
      if (is_in_use(region)) {
        is_complete = false;
        continue;
      }
      seen.set(region.id, next.innerHTML);
      const open = [...region.querySelectorAll("details[open]")].map((each) => each.id);
      region.replaceChildren(...next.childNodes);
      open.forEach((id) => id && document.getElementById(id)?.setAttribute("open", ""));
    }
    return is_complete;
  }

  async function refresh() {
    if (document.hidden) return;
    try {
      const headers = { "X-Petla-Fragment": "1", "If-None-Match": tag };
      const answer = await fetch(location.href, { headers, cache: "no-store" });
      if (answer.status === 401) return location.reload();
      if (answer.ok) {
        const is_complete = put(await answer.text());
        tag = (is_complete && answer.headers.get("ETag")) || "";
      }
      wait_ms = every_ms;
      notice.hidden = true;
    } catch {
      wait_ms = Math.min(2 * wait_ms, longest_ms);
      notice.hidden = false;
    }
  }

  async function go_on() {
    await refresh();
    setTimeout(go_on, wait_ms);
  }

  if (notice !== null) setTimeout(go_on, every_ms);
})();
