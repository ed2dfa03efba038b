# Two interpreters with objects of their own, and one that shares the main one's allocator.
import sys

if sys.version_info >= (3, 13):
    import _interpreters

    isolated = [_interpreters.create("isolated") for _ in range(2)]
    shared = _interpreters.create("legacy")
    run = _interpreters.exec
else:
    import _xxsubinterpreters

    isolated = [_xxsubinterpreters.create(isolated=True) for _ in range(2)]
    shared = _xxsubinterpreters.create(isolated=False)
    run = _xxsubinterpreters.run_string

run(isolated[0], "kept = [bytes(100) for _ in range(20000)]")
run(isolated[1], "kept = [bytes(200) for _ in range(20000)]")
run(shared, "kept = [bytes(300) for _ in range(20000)]")
ready()
serve()
