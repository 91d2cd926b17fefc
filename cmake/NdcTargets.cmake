# How this project's own targets are made. Flags are not set here: they live in the presets.

# ndc_platform_files(OUT FILES...): leaves out what is not for this platform. `x_linux.cpp` is
# built on Linux, `x_portable.cpp` everywhere else and in the portable preset.
function(ndc_platform_files out)
  set(files ${ARGN})
  if(NDC_PORTABLE)
    list(FILTER files EXCLUDE REGEX "_linux\\.cpp$")
  else()
    list(FILTER files EXCLUDE REGEX "_portable\\.cpp$")
  endif()
  set(${out} ${files} PARENT_SCOPE)
endfunction()

# ndc_add_library(NAME LIBS libraries... FILES files...): one static library per folder. Includes
# are written from src/, as in "model/error.hpp".
function(ndc_add_library name)
  cmake_parse_arguments(arg "" "" "LIBS;FILES" ${ARGN})
  ndc_platform_files(files ${arg_FILES})
  if(NOT files)
    file(WRITE ${CMAKE_BINARY_DIR}/empty.cpp "")
    set(files ${CMAKE_BINARY_DIR}/empty.cpp)
  endif()
  add_library(${name} STATIC ${files})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_include_directories(${name} PUBLIC
    $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/src>
    $<INSTALL_INTERFACE:include/nomad_driver_container>)
  target_compile_features(${name} PUBLIC cxx_std_20)
  target_link_libraries(${name} PUBLIC ${arg_LIBS})
  if(NDC_PORTABLE)
    target_compile_definitions(${name} PUBLIC NDC_PORTABLE=1)
  endif()
endfunction()

# ndc_add_catch_test(NAME LIBS libraries... FILES files... LABELS labels...): a Catch2 program and
# its ctest entry, one for the whole program. Files include "support/catch.hpp".
function(ndc_add_catch_test name)
  cmake_parse_arguments(arg "" "" "LIBS;FILES;LABELS" ${ARGN})
  ndc_platform_files(files ${arg_FILES})
  if(NOT files)
    message(STATUS "${name}: no test files yet")
    return()
  endif()
  add_executable(${name} ${files})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  target_link_libraries(${name} PRIVATE ${arg_LIBS} ndc_places ndc_catch)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 1200 LABELS "${arg_LABELS}")
endfunction()

# ndc_link_selfcontained(TARGET): the program needs nothing at run time but the C library, and
# carries nothing that it does not use.
function(ndc_link_selfcontained target)
  if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    target_link_options(${target} PRIVATE -Wl,--gc-sections -Wl,--as-needed -Wl,-z,relro,-z,now)
    if(NDC_STATIC)
      target_link_options(${target} PRIVATE -static-libstdc++ -static-libgcc)
    endif()
  else()
    target_link_options(${target} PRIVATE -Wl,-dead_strip)
  endif()
endfunction()
