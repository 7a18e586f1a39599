#include "sim/planner/processes.h"

#include "sim/planner/work_sharing.h"

#ifdef TRILLION_MPI
#include <mpi.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <sstream>
#include <thread>

#include "sim/base/error.h"
#endif

namespace trillion {

#ifndef TRILLION_MPI

Processes::Processes(unsigned threads) : threads_(threads) {}
Processes::~Processes() = default;
std::vector<std::string> Processes::perform_all(const PlanSearch& search, const std::vector<SearchTask>& tasks) {
  return trillion::perform_all(search, tasks, threads_);
}
void Processes::serve(const PlanSearch&) {}

#else

namespace {

// From a worker: "I am free", with the results of what it was given. To a worker: tasks; none: go.
constexpr int kFree = 1, kWork = 2;

// Set by Open MPI, by MPICH and Slurm's PMI, and by PMIx.
bool started_by_mpi() {
  const auto set = [](const char* name) { return std::getenv(name) != nullptr; };
  return set("OMPI_COMM_WORLD_SIZE") || set("PMI_SIZE") || set("PMI_RANK") || set("PMIX_RANK");
}

void send(int to, int tag, const std::string& text) {
  CHECK(text.size() < (std::size_t{1} << 31), "a message too long for MPI");
  MPI_Send(text.data(), static_cast<int>(text.size()), MPI_CHAR, to, tag, MPI_COMM_WORLD);
}

struct Message {
  int from = 0;
  std::string text;
};

Message receive(int from, int tag) {
  MPI_Status status;
  MPI_Probe(from, tag, MPI_COMM_WORLD, &status);
  int size = 0;
  MPI_Get_count(&status, MPI_CHAR, &size);
  Message message{status.MPI_SOURCE, std::string(static_cast<std::size_t>(size), ' ')};
  MPI_Recv(message.text.data(), size, MPI_CHAR, message.from, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  return message;
}

bool waiting(int tag) {
  int there = 0;
  MPI_Iprobe(MPI_ANY_SOURCE, tag, MPI_COMM_WORLD, &there, MPI_STATUS_IGNORE);
  return there != 0;
}

// "<place in the batch> <0 or 1> <index>" a line.
std::string work_text(const std::vector<SearchTask>& tasks, std::size_t begin, std::size_t end) {
  std::ostringstream text;
  for (std::size_t i = begin; i < end; ++i) text << i << ' ' << static_cast<int>(tasks[i].what) << ' ' << tasks[i].index << '\n';
  return text.str();
}

// "<place in the batch> <result>" a line.
void take_results(const std::string& text, std::vector<std::string>& results, std::size_t& left) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t space = line.find(' ');
    results.at(std::stoul(line.substr(0, space))) = line.substr(space + 1);
    --left;
  }
}

}  // namespace

Processes::Processes(unsigned threads) : threads_(threads) {
  if (!started_by_mpi()) return;
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (!initialized) {
    int provided = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  }
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &count_);
  if (count_ > 1 && threads_ == 0) threads_ = 1;
}

Processes::~Processes() {
  if (!started_by_mpi()) return;
  if (count_ > 1 && rank_ == 0) {
    while (static_cast<int>(idle_.size()) < count_ - 1) idle_.push_back(receive(MPI_ANY_SOURCE, kFree).from);
    for (const int rank : idle_) send(rank, kWork, "");
  } else if (count_ > 1 && !dismissed_) {  // what went wrong here went wrong everywhere
    send(0, kFree, "");
    while (!receive(0, kWork).text.empty()) send(0, kFree, "");
  }
  MPI_Finalize();
}

std::vector<std::string> Processes::perform_all(const PlanSearch& search, const std::vector<SearchTask>& tasks) {
  if (count_ == 1) return trillion::perform_all(search, tasks, threads_);
  std::vector<std::string> results(tasks.size());
  std::atomic<std::size_t> next{0}, done_here{0};
  std::mutex mutex;
  std::exception_ptr error;
  const auto work = [&] {
    for (std::size_t i = next++; i < tasks.size(); i = next++) {
      try {
        results[i] = search.perform(tasks[i]);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(mutex);
        error = std::current_exception();
      }
      ++done_here;
    }
  };
  std::vector<std::jthread> here;
  for (unsigned t = 0; t < std::max(1u, threads_); ++t) here.emplace_back(work);
  const auto give = [&](int rank) {
    const std::size_t begin = next.fetch_add(threads_), end = std::min(tasks.size(), begin + threads_);
    if (begin >= tasks.size()) return false;
    send(rank, kWork, work_text(tasks, begin, end));
    return true;
  };
  std::size_t left = tasks.size();  // not counting what was done here
  while (!idle_.empty() && give(idle_.back())) idle_.pop_back();
  while (left > done_here) {
    if (!waiting(kFree)) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      continue;
    }
    const Message message = receive(MPI_ANY_SOURCE, kFree);
    take_results(message.text, results, left);
    if (!give(message.from)) idle_.push_back(message.from);
  }
  here.clear();
  if (error) std::rethrow_exception(error);
  return results;
}

void Processes::serve(const PlanSearch& search) {
  std::string results;
  for (;;) {
    send(0, kFree, results);
    const std::string given = receive(0, kWork).text;
    if (given.empty()) break;
    std::istringstream lines(given);
    std::vector<SearchTask> tasks;
    std::vector<std::size_t> places;
    std::size_t place = 0, index = 0;
    for (int what = 0; lines >> place >> what >> index;) {
      tasks.push_back({static_cast<SearchTask::What>(what), index});
      places.push_back(place);
    }
    const std::vector<std::string> performed = trillion::perform_all(search, tasks, threads_);
    results.clear();
    for (std::size_t i = 0; i < tasks.size(); ++i) results += std::to_string(places[i]) + " " + performed[i] + "\n";
  }
  dismissed_ = true;
}

#endif

}  // namespace trillion
