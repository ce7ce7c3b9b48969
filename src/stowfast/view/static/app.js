"use strict";
const part = html => { const box = document.createElement("template"); box.innerHTML = html; return box.content; };
const chat = document.getElementById("chat");
const older = document.querySelector("[data-older]");

// As the server does for the messages of one answer: a result stands under the last call before it with its id. One
// that was stored before its call has to wait for it, once no older call can come.
const fold = () => {
  const calls = new Map(), early = new Map(), whole = !document.querySelector("[data-older]");
  const list = (of, id) => of.get(id) ?? of.set(id, []).get(id);
  for (const one of chat.querySelectorAll("details[data-call]")) {
    const id = one.dataset.call;
    if (!id || one.querySelector(".answer")) continue;
    if (one.classList.contains("call")) {
      const result = whole && list(early, id).shift();
      if (result) join(one, result); else list(calls, id).push(one);
    } else {
      const call = list(calls, id).pop();
      if (call) join(call, one); else list(early, id).push(one);
    }
  }
};
const join = (call, result) => {
  const row = result.closest(".message");
  const told = document.createElement("p"), json = row.querySelector(".who a[href^='/message?']").cloneNode();
  json.textContent = "Result, message " + row.id.slice(1);
  told.className = "facts answer";
  told.append(json);
  call.append(told, ...result.querySelectorAll(":scope > pre"));
  result.remove();
  if (row.querySelector(":scope > :not(.who)")) return;
  told.id = row.id;
  if (row.classList.contains("new")) call.closest(".message").classList.add("new");
  row.remove();
};

// A link to a message: the server has the page around it, and a folded one is opened.
const goTo = () => {
  const name = location.hash.slice(1), target = document.getElementById(name);
  if (!target && /^m\d+$/.test(name) && new URLSearchParams(location.search).get("at") !== name.slice(1))
    location.replace(chat.dataset.at + "&at=" + name.slice(1) + location.hash);
  for (let one = target?.closest("details"); one; one = one.parentElement.closest("details")) one.open = true;
  // The browser looked for the target before older messages brought it: it is asked once more, else nothing is marked.
  if (target && !target.matches(":target")) location.replace(location.hash);
  target?.scrollIntoView();
};
if (chat) {
  addEventListener("hashchange", goTo);
  if (location.hash) goTo();
}

// The position up to which this tab has shown a conversation. It ends with the tab and leaves nothing on the disk.
const seenOf = address => Number(sessionStorage.getItem(address) ?? NaN);
for (const row of document.querySelectorAll("li[data-next]")) {
  const count = Number(row.dataset.next) - seenOf(row.querySelector("a").getAttribute("href"));
  if (count > 0) row.querySelector(".facts").prepend(part("<b class='count'>" + count + " new</b> · "));
}

if (chat?.dataset.live) {
  const news = document.getElementById("news"), title = document.title, before = seenOf(chat.dataset.at);
  let count = 0, unseen = 0, next = Number(chat.dataset.next);
  const look = () => {
    if (document.hidden) return;
    unseen = 0;
    document.title = title;
    sessionStorage.setItem(chat.dataset.at, next);
  };
  if (next > before) {
    const since = part("<p class='facts' id='since'><a></a></p>"), first = since.querySelector("a");
    first.textContent = next - before + " new since you looked";
    first.href = "#m" + before;
    chat.before(since);
  }
  look();
  document.addEventListener("visibilitychange", look);
  const feed = new EventSource(chat.dataset.live);
  feed.onmessage = event => {
    const atEnd = innerHeight + scrollY > document.body.scrollHeight - 200;
    const added = part(JSON.parse(event.data));
    for (const row of added.querySelectorAll(".message")) {
      if (document.getElementById(row.id)) row.remove();
      else { row.classList.add("new"); count += 1; unseen += 1; }
    }
    chat.append(added);
    fold();
    next = Math.max(next, Number(event.lastEventId) + 1);
    news.textContent = count === 1 ? "1 new message." : count + " new messages.";
    document.title = "(" + unseen + ") " + title;
    look();
    if (atEnd) scrollTo(0, document.body.scrollHeight);
  };
}

if (older) {
  let busy = false;
  const load = async () => {
    if (busy) return;
    busy = true;
    const answer = await fetch(older.dataset.older + "&before=" + older.dataset.before).catch(() => null);
    busy = false;
    if (!answer?.ok) return;
    const height = document.body.scrollHeight;
    const next = answer.headers.get("x-older");
    chat.prepend(part(await answer.text()));
    if (!next) { seen.disconnect(); older.parentElement.remove(); }
    fold();
    scrollBy(0, document.body.scrollHeight - height);
    if (next) {
      older.dataset.before = next;
      // A link that is still in sight would not be told again.
      seen.unobserve(older);
      seen.observe(older);
    }
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
