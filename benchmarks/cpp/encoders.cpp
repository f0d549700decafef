// What lidarprep's kernels are measured against: the same output from plain C++ loops. Built by encoders.py with -O3.
#include <charconv>
#include <cstdint>
#include <cstring>

namespace {

char* key(char* at, const char* text, std::size_t size) {
    std::memcpy(at, text, size);
    return at + size;
}

char* fixed4(char* at, float value) { return std::to_chars(at, at + 64, value, std::chars_format::fixed, 4).ptr; }

char* shortest(char* at, float value) { return std::to_chars(at, at + 64, value).ptr; }

template <char* (*number)(char*, float)>
std::int64_t points_as_json(const float* xyz, const float* intensity, std::int64_t count, char* out) {
    char* at = out;
    for (std::int64_t row = 0; row < count; ++row) {
        at = number(key(at, ",{\"x\":", 6), xyz[3 * row]);
        at = number(key(at, ",\"y\":", 5), xyz[3 * row + 1]);
        at = number(key(at, ",\"z\":", 5), xyz[3 * row + 2]);
        at = number(key(at, ",\"i\":", 5), intensity[row]);
        *at++ = '}';
    }
    return at - out;
}

}  // namespace

extern "C" {

std::int64_t json_fixed4(const float* xyz, const float* intensity, std::int64_t count, char* out) {
    return points_as_json<fixed4>(xyz, intensity, count, out);
}

std::int64_t json_shortest(const float* xyz, const float* intensity, std::int64_t count, char* out) {
    return points_as_json<shortest>(xyz, intensity, count, out);
}

std::int64_t lidar_frame_points(const float* xyz, const float* intensity, std::int64_t count, char* out) {
    char* at = out;
    for (std::int64_t row = 0; row < count; ++row) {
        *at++ = 0x22;
        *at++ = 20;
        const float values[4] = {xyz[3 * row], xyz[3 * row + 1], xyz[3 * row + 2], intensity[row]};
        const char tags[4] = {0x0d, 0x15, 0x1d, 0x25};
        for (int i = 0; i < 4; ++i) {
            *at++ = tags[i];
            std::memcpy(at, &values[i], 4);
            at += 4;
        }
    }
    return at - out;
}

// The first row whose text is not the shortest that reads back as the same float, or -1. Rows are 32 bytes, of which
// `size[row]` are text.
std::int64_t first_wrong(const std::uint32_t* bits, const char* rows, const std::int32_t* size, std::int64_t count) {
    for (std::int64_t row = 0; row < count; ++row) {
        float value, read;
        std::memcpy(&value, &bits[row], 4);
        const char* text = rows + 32 * row;
        const auto parsed = std::from_chars(text, text + size[row], read);
        if (parsed.ptr != text + size[row] || std::memcmp(&read, &value, 4) != 0) return row;
        // Through double and back, as a reader of JSON does.
        double wide;
        std::from_chars(text, text + size[row], wide);
        const float narrowed = static_cast<float>(wide);
        if (std::memcmp(&narrowed, &value, 4) != 0) return row;
        // The same digits as the standard library's shortest: leading and trailing zeros apart.
        char expected[64];
        const char* end = std::to_chars(expected, expected + 64, value, std::chars_format::scientific).ptr;
        // Unless a reader that goes through double would misread those.
        std::from_chars(expected, end, wide);
        const float reread = static_cast<float>(wide);
        if (std::memcmp(&reread, &value, 4) != 0) continue;
        char ours[64], theirs[64];
        int n = 0, m = 0;
        for (const char* c = text; c < text + size[row] && *c != 'e'; ++c)
            if (*c >= '0' && *c <= '9' && (n || *c != '0')) ours[n++] = *c;
        for (const char* c = expected; c < end && *c != 'e'; ++c)
            if (*c >= '0' && *c <= '9' && (m || *c != '0')) theirs[m++] = *c;
        while (n && ours[n - 1] == '0') --n;
        while (m && theirs[m - 1] == '0') --m;
        if (n != m || std::memcmp(ours, theirs, n) != 0) return row;
    }
    return -1;
}

}
