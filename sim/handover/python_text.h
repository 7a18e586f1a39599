// Assignments of a configuration, as Python writes them and as command lines do. Internal to the room.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace trillion {

struct Setting {
  std::string path;    // "model.tensor_model_parallel_size"
  std::string python;  // "8", "True", "None", "'Et*3|t*4L'", "['a', 'b']"
};

std::string python_bool(bool value);
std::string python_text(const std::string& text);
std::string python_list(const std::vector<std::string>& texts);  // of strings

class Settings {
 public:
  Settings& add(const std::string& path, std::int64_t value) { return raw(path, std::to_string(value)); }
  Settings& add(const std::string& path, const std::string& text) { return raw(path, python_text(text)); }
  Settings& add(const std::string& path, const std::vector<std::string>& texts) { return raw(path, python_list(texts)); }
  Settings& turn(const std::string& path, bool on) { return raw(path, python_bool(on)); }
  Settings& raw(const std::string& path, const std::string& python) {
    all_.push_back({path, python});
    return *this;
  }
  const std::vector<Setting>& all() const { return all_; }

 private:
  std::vector<Setting> all_;
};

// "    config.model.x = 8\n" each.
std::string python_assignments(const Settings& settings, const std::string& object);

}  // namespace trillion
