#include "sim/handover/python_text.h"

namespace trillion {

std::string python_bool(bool value) { return value ? "True" : "False"; }

std::string python_text(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string python_list(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) out += (out.size() == 1 ? "" : ", ") + python_text(text);
  return out + "]";
}

std::string python_assignments(const Settings& settings, const std::string& object) {
  std::string text;
  for (const Setting& s : settings.all()) text += "    " + object + "." + s.path + " = " + s.python + "\n";
  return text;
}

}  // namespace trillion
