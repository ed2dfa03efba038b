"""Worker threads whose recursion goes deeper and deeper and never comes back up."""

import threading

import stage

turn = threading.Condition()
allowed = 1


def dive(depth):
    with turn:
        turn.wait_for(lambda: depth < allowed)
    # Through C at each level, for a call from Python to Python takes no stack since 3.11; and through
    # `sorted`, whose frame of some kilobytes makes the stack grow faster than the heap.
    return sorted([depth + 1], key=dive)


def deeper():
    global allowed
    with turn:
        allowed += 1
        turn.notify_all()


if __name__ == "__main__":
    threading.stack_size(8 << 20)
    for _ in range(100):
        threading.Thread(target=dive, args=(1,), daemon=True).start()
    stage.ready()
    stage.every(0.07, deeper)
    stage.leave()
