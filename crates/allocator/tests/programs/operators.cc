// C++'s own allocation, one line each. libstdc++'s operators call malloc and aligned_alloc.

#include <cstdint>
#include <cstdio>
#include <new>
#include <memory>
#include <string>
#include <thread>
#include <vector>

struct alignas(64) Line {
    char bytes[64];
};

static int n_handled;

static void say(const char *name, bool yes) { std::printf("%s: %s\n", name, yes ? "yes" : "no"); }

int main() {
    int *one = new int(7);
    say("new", *one == 7);
    delete one;
    auto *many = new std::string[1000];
    for (int i = 0; i < 1000; i++) many[i].assign(i, 'x');
    say("new[]", many[999].size() == 999);
    delete[] many;
    Line *line = new Line[3];
    say("aligned new[]", reinterpret_cast<std::uintptr_t>(line) % 64 == 0);
    delete[] line;
    void *page = ::operator new(100, std::align_val_t(4096));
    say("operator new with an alignment", reinterpret_cast<std::uintptr_t>(page) % 4096 == 0);
    ::operator delete(page, 100, std::align_val_t(4096));
    ::operator delete(::operator new(0), std::size_t(0));

    volatile std::size_t huge = PTRDIFF_MAX;
    say("nothrow new of too much is null", ::operator new(huge, std::nothrow) == nullptr);
    bool caught = false;
    std::set_new_handler([] {
        n_handled++;
        std::set_new_handler(nullptr);
    });
    try {
        ::operator delete(::operator new(huge));
    } catch (const std::bad_alloc &) {
        caught = true;
    }
    say("new of too much throws bad_alloc", caught);
    say("the new handler was called once", n_handled == 1);
    std::vector<std::thread> threads;
    std::vector<std::unique_ptr<std::vector<int>>> made(8);
    for (int t = 0; t < 8; t++)
        threads.emplace_back([&made, t] {
            made[t] = std::make_unique<std::vector<int>>();
            for (int i = 0; i < 100000; i++) made[t]->push_back(i);
        });
    for (auto &thread : threads) thread.join();
    bool whole = true;
    for (auto &vector : made) whole = whole && vector->size() == 100000 && vector->back() == 99999;
    say("vectors grown in threads", whole);
    return 0;
}
