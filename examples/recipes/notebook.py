"""The cells of a notebook. A cell runs inside an event loop: `stowfast.sync` works there all the same."""

# %%
import pandas as pd

import stowfast.sync

stores = stowfast.sync.open("sqlite:///agent.db")

# %%
stores.messages.add_message("chat-1", {"role": "user", "content": "How many trains go to Hamburg?"})
stores.messages.add_message("chat-1", {"role": "assistant", "content": "One an hour."})

# %%
chats = pd.DataFrame(
    {"chat": chat.context_id, "messages": chat.count, "newest": chat.updated_at}
    for chat in stores.messages.contexts(info=True)
)
print(chats)

# %%
stores.close()
