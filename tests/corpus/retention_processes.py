"""A script with three worker processes; each had a burst and keeps a little of it."""

import multiprocessing

import stage


def work(done, end):
    kept = stage.keep_some(25_000, 2000, 70)
    done.put(len(kept))
    end.wait()


if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    done, end = context.SimpleQueue(), context.Event()
    workers = [context.Process(target=work, args=(done, end)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for _ in workers:
        done.get()
    stage.ready()
    stage.hold()
    end.set()
