# The embeddable library as an installed package: find_package(nomad_driver_container), target
# nomad_driver_container::embed. In a component of its own, so that `cmake --install --component
# embed` needs no plugin. Third-party libraries are looked for again by the package, with the same
# file as here: it moves with the installation, their places do not.

include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

function(ndc_install_embed)
  set(name nomad_driver_container)
  set(package ${CMAKE_INSTALL_LIBDIR}/cmake/${name})
  set_target_properties(ndc_embed PROPERTIES EXPORT_NAME embed)
  install(TARGETS ndc_embed ndc_actors ndc_runtime ndc_model EXPORT ${name}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}/${name} COMPONENT embed)
  install(EXPORT ${name} NAMESPACE ${name}:: FILE ${name}Targets.cmake
    DESTINATION ${package} COMPONENT embed)

  install(FILES ${CMAKE_SOURCE_DIR}/src/${name}.hpp
    DESTINATION include/${name} COMPONENT embed)
  install(DIRECTORY ${CMAKE_SOURCE_DIR}/src/model ${CMAKE_SOURCE_DIR}/src/embed
    DESTINATION include/${name} COMPONENT embed FILES_MATCHING PATTERN "*.hpp")
  # Of the layers below only what a program may use.
  foreach(header actors/driver actors/driver_system actors/message_faults actors/message_names
          runtime/container_runtime runtime/event_loop runtime/faulty_runtime runtime/make_runtime
          runtime/roles)
    get_filename_component(folder ${header} DIRECTORY)
    install(FILES ${CMAKE_SOURCE_DIR}/src/${header}.hpp
      DESTINATION include/${name}/${folder} COMPONENT embed)
  endforeach()

  configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/${name}Config.cmake.in
    ${CMAKE_BINARY_DIR}/${name}Config.cmake INSTALL_DESTINATION ${package})
  write_basic_package_version_file(${CMAKE_BINARY_DIR}/${name}ConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
  install(FILES ${CMAKE_BINARY_DIR}/${name}Config.cmake
    ${CMAKE_BINARY_DIR}/${name}ConfigVersion.cmake
    ${CMAKE_SOURCE_DIR}/cmake/Dependencies.cmake ${CMAKE_SOURCE_DIR}/cmake/FindCafCore.cmake
    DESTINATION ${package} COMPONENT embed)
endfunction()
