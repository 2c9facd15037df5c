// The C++ agent's locking, as it is on disk: host lock, machine lock, content, release. It follows
// lock_toolchain(), lock_machine() and the class machine_lock of the original agent step by step,
// with its assertions, so that what would end that agent ends this program.
//
// usage: twin FOLDER             obeys commands on standard input
//        twin FOLDER count N     adds N to FOLDER/counter under a machine lock, one at a time

#include <cassert>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static std::string toolchain_file, machine_file, counter_file;
static volatile sig_atomic_t interrupts = 0;

static void require(bool condition, const char* what)
{
  if (!condition)
    throw std::runtime_error(std::string(what) + ": " + strerror(errno));
}

// An assertion of the original agent, also where assert() is compiled out.
static void must_hold(bool condition, const char* what)
{
  if (!condition)
  {
    std::cerr << "assertion failed: " << what << std::endl;
    abort();
  }
}

// The toolchain lock: attempts, each followed by a pause; the file stays.
struct host_lock
{
  int fd = -1;

  void acquire()
  {
    fd = open(toolchain_file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    require(fd != -1, "open host lock");
    while (flock(fd, LOCK_EX | LOCK_NB) != 0)
    {
      require(errno == EWOULDBLOCK, "lock host");
      sched_yield();
    }
  }

  void release()
  {
    flock(fd, LOCK_UN);
    close(fd);
    fd = -1;
  }
};

// The machine lock: locked by this process, or the holder that the file names.
struct machine
{
  int fd = -1;
  size_t suspend_at = 0;
  long long pid = 0;
  bool has_prio = false;
  unsigned long long prio = 0;

  bool locked() const { return fd != -1; }

  void lock()
  {
    for (;;)
    {
      int f = open(machine_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
      require(f != -1, "open machine lock");
      if (flock(f, LOCK_EX | LOCK_NB) != 0)
      {
        require(errno == EWOULDBLOCK, "lock machine");
        read_holder(f);
        close(f);
        return;
      }
      struct stat opened, named;
      require(fstat(f, &opened) == 0, "fstat");
      // The original agent ends if another process, of whatever kind, has removed the file by now.
      // This one goes on, so that the test meets the rest, too.
      if (stat(machine_file.c_str(), &named) != 0)
      {
        require(errno == ENOENT, "stat");
        close(f);
        continue;
      }
      if (opened.st_ino == named.st_ino)
      {
        fd = f;
        return;
      }
      close(f);
    }
  }

  // `<pid>` or `<pid> <prio>`, at most 63 bytes, and never nothing.
  void read_holder(int f)
  {
    char text[64];
    ssize_t n = read(f, text, sizeof(text));
    require(n != -1, "read machine lock");
    must_hold(n > 0 && static_cast<size_t>(n) < sizeof(text), "0 < n < 64");
    text[n] = '\0';
    char* space = strchr(text, ' ');
    char* end;
    errno = 0;
    pid = strtoll(text, &end, 10);
    must_hold(errno != ERANGE && end != text && (space ? end == space : *end == '\0'), "pid");
    has_prio = space != nullptr;
    if (space)
    {
      ++space;
      errno = 0;
      prio = strtoull(space, &end, 10);
      must_hold(errno != ERANGE && end != space && *end == '\0', "priority");
    }
  }

  // Writes at the offset of a file that was just opened, without truncating it.
  void write_holder(const unsigned long long* p)
  {
    std::string text = std::to_string(getpid());
    if (p)
    {
      suspend_at = text.size();
      text += ' ' + std::to_string(*p);
    }
    ssize_t n = write(fd, text.c_str(), text.size());
    require(n == static_cast<ssize_t>(text.size()), "write machine lock");
  }

  void suspend() { require(ftruncate(fd, suspend_at) == 0, "truncate"); }

  void unlock()
  {
    unlink(machine_file.c_str());
    flock(fd, LOCK_UN);
    close(fd);
    fd = -1;
  }
};

static void add_one()
{
  int count = -1;
  std::ifstream(counter_file) >> count;
  require(count >= 0, "read counter");
  sched_yield();
  std::ofstream(counter_file) << count + 1;
}

static void count(int rounds)
{
  while (rounds != 0)
  {
    host_lock host;
    host.acquire();
    machine m;
    m.lock();
    if (!m.locked())
    {
      host.release();
      sched_yield();
      continue;
    }
    unsigned long long prio = 100;
    m.write_holder(rounds % 2 ? &prio : nullptr);
    host.release();
    add_one();
    if (rounds % 2)
      m.suspend();
    m.unlock();
    --rounds;
  }
}

static void obey()
{
  host_lock host;
  machine m;
  std::string command;
  while (std::getline(std::cin, command))
  {
    if (command == "host")
      host.acquire();
    else if (command == "free host")
      host.release();
    else if (command == "lock")
      m.lock();
    else if (command == "bootstrap")
      m.write_holder(nullptr);
    else if (command.compare(0, 8, "perform ") == 0)
    {
      unsigned long long prio = strtoull(command.c_str() + 8, nullptr, 10);
      m.write_holder(&prio);
    }
    else if (command == "suspend")
      m.suspend();
    else if (command == "unlock")
      m.unlock();
    else if (command == "interrupt")
      require(kill(static_cast<pid_t>(m.pid), SIGUSR1) == 0, "interrupt");
    else if (command == "wait for interrupt")
      while (interrupts == 0)
        usleep(1000);
    else
      must_hold(false, "command");

    std::cout << (m.locked() ? "locked" : std::to_string(m.pid));
    if (!m.locked() && m.has_prio)
      std::cout << ' ' << m.prio;
    std::cout << std::endl;
  }
}

extern "C" void handle_interrupt(int) { interrupts = interrupts + 1; }

int main(int argc, char* argv[])
try
{
  must_hold(argc >= 2, "a folder");
  std::string folder = argv[1];
  toolchain_file = folder + "/toolchain.lock";
  machine_file = folder + "/m.lock";
  counter_file = folder + "/counter";
  signal(SIGUSR1, &handle_interrupt);
  if (argc == 4)
    count(atoi(argv[3]));
  else
    obey();
  return 0;
}
catch (const std::exception& e)
{
  std::cerr << e.what() << std::endl;
  return 1;
}
