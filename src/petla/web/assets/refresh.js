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

  // Whoever is typing, or has a control of a region in focus, is not disturbed.
  const is_in_use = (region) => region.contains(document.activeElement);

  function put(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    for (const region of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(region.id);
      if (next === null || is_in_use(region) || seen.get(region.id) === next.innerHTML) continue;
      seen.set(region.id, next.innerHTML);
      const open = [...region.querySelectorAll("details[open]")].map((each) => each.id);
      region.replaceChildren(...next.childNodes);
      open.forEach((id) => id && document.getElementById(id)?.setAttribute("open", ""));
    }
  }

  async function refresh() {
    if (document.hidden) return;
    try {
      const headers = { "X-Petla-Fragment": "1", "If-None-Match": tag };
      const answer = await fetch(location.href, { headers, cache: "no-store" });
      if (answer.status === 401) return location.reload();
      if (answer.ok) {
        put(await answer.text());
        tag = answer.headers.get("ETag") ?? "";
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
