"use strict";
const part = html => { const box = document.createElement("template"); box.innerHTML = html; return box.content; };

const chat = document.querySelector("[data-live]");
if (chat) {
  const news = document.getElementById("news");
  const feed = new EventSource(chat.dataset.live);
  let count = 0;
  feed.onmessage = event => {
    const atEnd = innerHeight + scrollY > document.body.scrollHeight - 200;
    const added = part(JSON.parse(event.data));
    for (const row of added.querySelectorAll(".message")) {
      if (document.getElementById(row.id)) row.remove();
      else { row.classList.add("new"); count += 1; }
    }
    chat.append(added);
    news.textContent = count === 1 ? "1 new message." : count + " new messages.";
    if (atEnd) scrollTo(0, document.body.scrollHeight);
  };
}

const older = document.querySelector("[data-older]");
if (older) {
  let busy = false;
  const load = async () => {
    if (busy) return;
    busy = true;
    const answer = await fetch(older.dataset.older + "&before=" + older.dataset.before).catch(() => null);
    busy = false;
    if (!answer?.ok) return;
    const height = document.body.scrollHeight;
    document.getElementById("chat").prepend(part(await answer.text()));
    scrollBy(0, document.body.scrollHeight - height);
    const next = answer.headers.get("x-older");
    if (next) {
      older.dataset.before = next;
      // A link that is still in sight would not be told again.
      seen.unobserve(older);
      seen.observe(older);
    }
    else { seen.disconnect(); older.parentElement.remove(); }
  };
  const seen = new IntersectionObserver(found => { if (found.some(one => one.isIntersecting)) load(); });
  older.addEventListener("click", event => { event.preventDefault(); load(); });
  addEventListener("scroll", () => seen.observe(older), { once: true });
  if (!location.hash) scrollTo(0, document.body.scrollHeight);
}

const log = document.querySelector("[data-follow]");
if (log) {
  const feed = new EventSource(log.dataset.follow);
  feed.onmessage = event => { log.append(JSON.parse(event.data)); log.scrollTop = log.scrollHeight; };
  feed.addEventListener("end", () => feed.close());
}
