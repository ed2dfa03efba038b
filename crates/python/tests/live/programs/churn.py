# Objects that stay, while threads allocate and free others as fast as they can.
import threading

kept = [bytes(index % 300) for index in range(80000)]


def churn(seed):
    while True:
        batch = [bytes((seed * index) % 460) for index in range(2000)]
        del batch[::2]
        batch.extend([bytes(index % 200) for index in range(500)])


for seed in (7, 11, 13):
    threading.Thread(target=churn, args=(seed,), daemon=True).start()
ready(sum((33 + index % 300 + 15) // 16 * 16 for index in range(80000)))
serve()
