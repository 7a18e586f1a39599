// Values that many threads want and one makes: the first to ask for a key makes its value, others wait for it. What is made depends on the
// key alone, so the order of asking changes nothing.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>

namespace trillion {

template <class Key, class Value>
class OnceMap {
 public:
  // The value stays where it is as long as the map lives.
  template <class Make>
  const Value& get(const Key& key, const Make& make) {
    std::shared_ptr<Slot> slot;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      std::shared_ptr<Slot>& known = slots_[key];
      if (!known) known = std::make_shared<Slot>();
      slot = known;
    }
    std::call_once(slot->once, [&] {
      slot->value = std::make_unique<Value>(make());
      slot->made = true;
    });
    return *slot->value;
  }

  // Null: nobody has made it yet.
  const Value* find(const Key& key) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto known = slots_.find(key);
    return known != slots_.end() && known->second->made ? known->second->value.get() : nullptr;
  }

 private:
  struct Slot {
    std::once_flag once;
    std::unique_ptr<Value> value;
    std::atomic<bool> made = false;
  };
  mutable std::mutex mutex_;
  std::map<Key, std::shared_ptr<Slot>> slots_;
};

}  // namespace trillion
